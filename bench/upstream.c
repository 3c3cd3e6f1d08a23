/* A fake backend that is never the bottleneck: one thread, epoll, everything on 127.0.0.1.
 *
 * The path says in whose words to answer: those of Anthropic (/messages), Gemini (:streamGenerateContent), else OpenAI.
 * The model's name, which may have more before it, says what:
 *   bench-0-0                 one JSON chat completion
 *   bench-<chunks>-<usec>     a stream of so many chunks, the first at once, the others so many microseconds apart
 *                             (0: as fast as they can be sent)
 * Each answer carries "@<16 hex digits: CLOCK_MONOTONIC in ns when it was sent>-<8 hex digits: number of the chunk>".
 *
 * usage: upstream PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 16384, CHUNK_MAX = 768, OUT_MAX = 65536, RETRY_NS = 1000000 };

typedef struct connection {
    int fd;
    int in_length, out_length;
    int total, sent;        /* chunks of the running stream; total is 0 when there is none */
    int stamp_at;           /* where in `chunk` the time goes */
    int chunk_length;
    int place;              /* in the heap of timers; -1: not there */
    uint64_t interval, due; /* ns */
    char model[48];
    const struct words *words;
    char chunk[CHUNK_MAX];  /* one ready HTTP chunk, only its stamp changes */
    char *in, *out;         /* `out` holds what the kernel would not take yet */
} connection;

static int poller;
static connection **heap;
static int heap_length, heap_room;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- timers: a binary heap of streams by the time of their next chunk --- */

static void heap_put(connection *c, int place)
{
    heap[place] = c;
    c->place = place;
}

static void heap_up(connection *c)
{
    int place = c->place;
    while (place > 0 && heap[(place - 1) / 2]->due > c->due) {
        heap_put(heap[(place - 1) / 2], place);
        place = (place - 1) / 2;
    }
    heap_put(c, place);
}

static void heap_down(connection *c)
{
    int place = c->place;
    for (;;) {
        int child = 2 * place + 1;
        if (child >= heap_length)
            break;
        if (child + 1 < heap_length && heap[child + 1]->due < heap[child]->due)
            child++;
        if (heap[child]->due >= c->due)
            break;
        heap_put(heap[child], place);
        place = child;
    }
    heap_put(c, place);
}

static void heap_add(connection *c)
{
    if (heap_length == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = realloc(heap, sizeof *heap * (size_t)heap_room);
    }
    c->place = heap_length++;
    heap_up(c);
}

static void heap_remove(connection *c)
{
    if (c->place < 0)
        return;
    connection *last = heap[--heap_length];
    if (last != c) {
        heap_put(last, c->place);
        heap_up(last);
        heap_down(last);
    }
    c->place = -1;
}

/* --- sending --- */

static void watch(connection *c, int action)
{
    struct epoll_event event = {.events = EPOLLIN | (c->out_length ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, action, c->fd, &event);
}

static void drop(connection *c)
{
    heap_remove(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

/* Send all of it or keep the rest for later; -1: the peer is gone. */
static int transmit(connection *c, const char *bytes, int length)
{
    ssize_t taken = 0;
    if (!c->out_length)
        taken = send(c->fd, bytes, (size_t)length, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN)
        return -1;
    if (taken < 0)
        taken = 0;
    if (taken == length)
        return 0;
    if (c->out_length + length - taken > OUT_MAX)
        return -1;
    if (!c->out)
        c->out = malloc(OUT_MAX);
    memcpy(c->out + c->out_length, bytes + taken, (size_t)(length - taken));
    c->out_length += (int)(length - taken);
    watch(c, EPOLL_CTL_MOD);
    return 0;
}

static int flush(connection *c)
{
    ssize_t taken = send(c->fd, c->out, (size_t)c->out_length, MSG_NOSIGNAL);
    if (taken < 0)
        return errno == EAGAIN ? 0 : -1;
    c->out_length -= (int)taken;
    memmove(c->out, c->out + taken, (size_t)c->out_length);
    if (!c->out_length)
        watch(c, EPOLL_CTL_MOD);
    return 0;
}

/* --- answers --- */

static const char HEX[] = "0123456789abcdef";

static void write_hex(char *place, int digits, uint64_t value)
{
    for (; digits; value >>= 4)
        place[--digits] = HEX[value & 15];
}

static void write_stamp(char *place, int number)
{
    write_hex(place + 1, 16, now_ns());
    write_hex(place + 18, 8, (uint64_t)number);
}

static int answer_json(connection *c)
{
    char body[1024], answer[1400];
    int length = snprintf(
        body, sizeof body,
        "{\"id\":\"chatcmpl-b0000000000000000000000000000\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%s\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"@0000000000000000-00000000 A lighthouse keeps"
        " no diary, but the sea does: every wave that breaks against the stone leaves a line of salt, and the keeper reads them in"
        " the morning.\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":38,\"total_tokens\":59}}",
        c->model);
    write_stamp(memchr(body, '@', (size_t)length), 0);
    int head = snprintf(answer, sizeof answer,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nx-request-id: req_bench\r\n\r\n",
                        length);
    memcpy(answer + head, body, (size_t)length);
    return transmit(c, answer, head + length);
}

/* The events of a stream in one API's words; each may name the model once. */
typedef struct words {
    const char *begin, *chunk, *end;
} words;

#define CHAT_CHUNK                                                                                                             \
    "data: {\"id\":\"chatcmpl-b0000000000000000000000000000\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"          \
    "\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":"
#define GEMINI_CHUNK(parts, more)                                                                                              \
    "data: {\"candidates\":[{\"content\":{\"parts\":[" parts "],\"role\":\"model\"}" more ",\"index\":0}],"                       \
    "\"usageMetadata\":{\"promptTokenCount\":21,\"candidatesTokenCount\":38,\"totalTokenCount\":59},\"modelVersion\":\"%s\"}\r\n\r\n"

static const words OPENAI = {
    "",
    CHAT_CHUNK "{\"content\":\"@0000000000000000-00000000\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
    CHAT_CHUNK "{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
};

static const words ANTHROPIC = {
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_b\",\"type\":\"message\",\"role\":\"assistant\","
    "\"model\":\"%s\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":21,\"output_tokens\":1}}}\n\n"
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
    "\"text\":\"@0000000000000000-00000000\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
    "\"usage\":{\"output_tokens\":38}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
};

static const words GEMINI = {
    "",
    GEMINI_CHUNK("{\"text\":\"@0000000000000000-00000000\"}", ""),
    GEMINI_CHUNK("{\"text\":\".\"}", ",\"finishReason\":\"STOP\""),
};

static void prepare_chunk(connection *c)
{
    char event[CHUNK_MAX - 16];
    int length = snprintf(event, sizeof event, c->words->chunk, c->model);
    c->chunk_length = snprintf(c->chunk, sizeof c->chunk, "%x\r\n%s\r\n", (unsigned)length, event);
    c->stamp_at = (int)((char *)memchr(c->chunk, '@', (size_t)c->chunk_length) - c->chunk);
}

static int begin_stream(connection *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                               "x-request-id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n";
    char event[2 * CHUNK_MAX], begin[sizeof head + sizeof event + 16];
    int length = snprintf(event, sizeof event, c->words->begin, c->model);
    int size = snprintf(begin, sizeof begin, length ? "%s%x\r\n%s\r\n" : "%s", head, (unsigned)length, event);
    prepare_chunk(c);
    c->sent = 0;
    c->due = now_ns();
    heap_add(c);
    return transmit(c, begin, size);
}

static int end_stream(connection *c)
{
    char event[CHUNK_MAX], end[CHUNK_MAX + 64];
    int length = snprintf(event, sizeof event, c->words->end, c->model);
    c->total = 0;
    heap_remove(c);
    return transmit(c, end, snprintf(end, sizeof end, "%x\r\n%s\r\n0\r\n\r\n", (unsigned)length, event));
}

/* Send the stream's next chunk, or its end; while the peer does not read, wait for it. */
static int step(connection *c)
{
    if (c->sent == c->total)
        return end_stream(c);
    if (c->out_length) {
        c->due = now_ns() + RETRY_NS;
        heap_down(c);
        return 0;
    }
    write_stamp(c->chunk + c->stamp_at, c->sent++);
    c->due = c->interval ? c->due + c->interval : now_ns();
    heap_down(c);
    return transmit(c, c->chunk, c->chunk_length);
}

/* --- requests --- */

static const words *asked_in(const char *head)
{
    const char *end = strchr(head, '\r'), *messages = strstr(head, "/messages "), *gemini = strstr(head, ":streamGenerateContent");
    if (messages && messages < end)
        return &ANTHROPIC;
    return gemini && gemini < end ? &GEMINI : &OPENAI;
}

static int answer(connection *c, const char *body)
{
    unsigned total = 0, interval = 0;
    const char *model = strstr(body, "bench-");
    if (model)
        sscanf(model, "bench-%u-%u", &total, &interval);
    c->words = asked_in(c->in);
    snprintf(c->model, sizeof c->model, "bench-%u-%u", total, interval);
    c->total = (int)total;
    c->interval = (uint64_t)interval * 1000u;
    return total ? begin_stream(c) : answer_json(c);
}

/* Answer every complete request in the buffer; -1: drop the connection. */
static int take_requests(connection *c)
{
    while (!c->total) {
        c->in[c->in_length] = 0;
        char *end = strstr(c->in, "\r\n\r\n");
        if (!end)
            return 0;
        char *field = strcasestr(c->in, "\r\ncontent-length:");
        int head = (int)(end + 4 - c->in), body = field && field < end ? atoi(field + 17) : 0;
        if (head + body > REQUEST_MAX)
            return -1;
        if (c->in_length < head + body)
            return 0;
        char next = c->in[head + body];
        c->in[head + body] = 0;
        if (answer(c, c->in + head) < 0)
            return -1;
        c->in[head + body] = next;
        c->in_length -= head + body;
        memmove(c->in, c->in + head + body, (size_t)c->in_length);
    }
    return 0;
}

static int readable(connection *c)
{
    ssize_t length = recv(c->fd, c->in + c->in_length, (size_t)(REQUEST_MAX - c->in_length), 0);
    if (length <= 0)
        return length < 0 && errno == EAGAIN ? 0 : -1;
    c->in_length += (int)length;
    return take_requests(c);
}

static void accept_all(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->place = -1;
        c->in = malloc(REQUEST_MAX + 1);
        watch(c, EPOLL_CTL_ADD);
    }
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("upstream");
        exit(1);
    }
    return fd;
}

static void send_what_is_due(void)
{
    uint64_t now = now_ns();
    while (heap_length && heap[0]->due <= now) {
        connection *c = heap[0];
        if (step(c) < 0 || (!c->total && take_requests(c) < 0))
            drop(c);
    }
}

static void serve(connection *c, uint32_t events)
{
    if ((events & EPOLLOUT && c->out_length && flush(c) < 0) || (events & ~(uint32_t)EPOLLOUT && readable(c) < 0))
        drop(c);
}

int main(int count, char **arguments)
{
    int listener = listen_on(count > 1 ? atoi(arguments[1]) : 19000);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    struct epoll_event watched = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &watched);
    for (;;) {
        struct timespec wait = {3600, 0};
        if (heap_length) {
            uint64_t now = now_ns(), left = heap[0]->due > now ? heap[0]->due - now : 0;
            wait = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        }
        int ready = epoll_pwait2(poller, events, 256, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
        send_what_is_due();
    }
}
