/* A load generator for event streams and plain requests: one thread, epoll, everything on 127.0.0.1.
 *
 *   --open COUNT:CHUNKS:USEC   COUNT streams, opened once, spread over --ramp: CHUNKS chunks each, USEC apart (repeatable)
 *   --loop COUNT:CHUNKS:USEC   COUNT connections that ask again and again, USEC from one request's start to the next
 *                              (0: at once); CHUNKS 0 asks for plain JSON
 *   --port, --path, --model (what stands before "bench-…"), --header 'Name: value' (repeatable)
 *   --ramp, --warm, --window, --drain SECONDS
 *   --leave                    go away at the window's end instead of waiting for the streams to finish
 *
 * It prints the line `window` when measuring begins and `done` when it ends, waits for a line on its standard input (or the end of
 * it), so that the caller can read what the processes used, and then prints one line of JSON. Every answer is checked: status,
 * framing, order and number of chunks, [DONE]. Times come from the stamps that upstream.c puts into each chunk.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 4096, LINE_MAX = 1024, READ_MAX = 65536, REQUEST_MAX = 8192, GROUPS_MAX = 4 };
enum state { WAITING, CONNECTING, HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, GONE };

typedef struct group {
    int count, chunks, request_length;
    long usec;
    char request[REQUEST_MAX];
} group;

typedef struct connection {
    group *of;
    int fd;
    enum state state;
    bool chunked, done; /* done: [DONE] was seen */
    int head_length, line_length, got;
    long left; /* bytes of this body or chunk */
    uint64_t start_at, asked, last, before; /* times of: next start, request, last read, the read before it */
    char head[HEAD_MAX], line[LINE_MAX];
} connection;

typedef struct samples { /* in units of 100 ns */
    uint32_t *values;
    size_t length, room;
} samples;

static int port = 19000, poller, all, active, group_count;
static const char *path = "/v1/chat/completions", *model = "";
static char headers[REQUEST_MAX / 2];
static double ramp, warm = 0.5, window = 3, drain = 5;
static bool looping, leaving, measuring, stopping;
static group groups[GROUPS_MAX];
static connection *connections, **queue; /* the queue is a ring of those that wait, in the order of their start */
static size_t queue_head, queue_length;
static char buffer[READ_MAX];

static samples added, first, whole, silences;
static uint64_t chunks, requests, reads, errors;
static char first_error[256];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sample(samples *to, uint64_t from, uint64_t until)
{
    if (to->length == to->room) {
        to->room = to->room ? to->room * 2 : 65536;
        to->values = realloc(to->values, to->room * sizeof *to->values);
    }
    uint64_t value = until > from ? (until - from) / 100 : 0;
    to->values[to->length++] = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static void enqueue(connection *c, uint64_t start_at)
{
    c->state = WAITING;
    c->start_at = start_at;
    queue[(queue_head + queue_length++) % (size_t)all] = c;
}

static void hang_up(connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

__attribute__((format(printf, 2, 3))) static void fail(connection *c, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    if (!errors++)
        vsnprintf(first_error, sizeof first_error, format, values);
    va_end(values);
    hang_up(c);
    active--;
    if (looping && !stopping)
        enqueue(c, now_ns() + 100000000u);
    else
        c->state = GONE;
}

/* --- asking --- */

static void ask(connection *c)
{
    c->head_length = c->line_length = c->got = 0;
    c->done = false;
    if (send(c->fd, c->of->request, (size_t)c->of->request_length, MSG_NOSIGNAL) != c->of->request_length)
        fail(c, "send: %s", strerror(errno));
    else
        c->state = HEAD;
}

static void dial(connection *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    int on = 1;
    c->state = CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail(c, "connect: %s", strerror(errno));
    else
        epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void connected(connection *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        fail(c, "connect: %s", strerror(error));
        return;
    }
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    ask(c);
}

static void start(connection *c)
{
    active++;
    c->asked = c->start_at;
    if (c->fd < 0)
        dial(c);
    else
        ask(c);
}

static void start_what_is_due(uint64_t now)
{
    while (queue_length && queue[queue_head]->start_at <= now) {
        connection *c = queue[queue_head];
        queue_head = (queue_head + 1) % (size_t)all;
        queue_length--;
        start(c);
    }
}

/* --- answers --- */

static void take_chunk(connection *c, const char *stamp, uint64_t now)
{
    uint64_t sent = strtoull(stamp + 1, NULL, 16);
    int number = (int)strtoul(stamp + 18, NULL, 16);
    if (number != c->got++) {
        fail(c, "chunk %d came where %d was due", number, c->got - 1);
        return;
    }
    if (!measuring)
        return;
    chunks++;
    sample(&added, sent, now);
    if (number == 0)
        sample(&first, c->asked, now);
}

static void take_line(connection *c, uint64_t now)
{
    char *stamp;
    c->line[c->line_length] = 0;
    if (c->line[0] == ':') {
        if (measuring)
            sample(&silences, c->before, now);
    } else if (!strncmp(c->line, "data: [DONE]", 12) || strstr(c->line, "\"message_stop\"") || strstr(c->line, "\"finishReason\"")) {
        c->done = true; /* in the words of OpenAI, Anthropic or Gemini */
    } else if ((stamp = strchr(c->line, '@'))) {
        take_chunk(c, stamp, now);
    }
    c->line_length = 0;
}

static void take_body(connection *c, const char *bytes, size_t length, uint64_t now)
{
    while (length && c->state != GONE && c->state != WAITING) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end ? (size_t)(end - bytes) : length;
        if (c->line_length + part >= LINE_MAX) {
            fail(c, "a line of more than %d bytes", LINE_MAX);
            return;
        }
        memcpy(c->line + c->line_length, bytes, part);
        c->line_length += (int)part;
        if (end) {
            take_line(c, now);
            part++;
        }
        bytes += part;
        length -= part;
    }
}

static void finish(connection *c, uint64_t now)
{
    int expected = c->of->chunks ? c->of->chunks : 1;
    if (c->line_length)
        take_line(c, now);
    if (c->got != expected || (c->of->chunks && !c->done)) {
        fail(c, "the answer ended after %d of %d chunks, [DONE] %s", c->got, expected, c->done ? "seen" : "missing");
        return;
    }
    if (measuring) {
        requests++;
        sample(&whole, c->asked, now);
    }
    active--;
    if (!looping || stopping) {
        hang_up(c);
        c->state = GONE;
    } else if (c->of->usec) {
        uint64_t next = c->asked + (uint64_t)c->of->usec * 1000u;
        enqueue(c, next > now ? next : now);
    } else {
        c->start_at = now;
        start(c);
    }
}

static void take_head(connection *c)
{
    int status = strlen(c->head) > 12 ? atoi(c->head + 9) : 0;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (status != 200) {
        fail(c, "status %d", status);
        return;
    }
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    c->left = length ? atol(length + 17) : 0;
    c->state = c->chunked ? CHUNK_SIZE : BODY;
    if (!c->chunked && !length)
        fail(c, "an answer without a length");
}

static size_t feed_head(connection *c, const char *bytes, size_t length)
{
    size_t taken = 0;
    while (taken < length && c->state == HEAD) {
        if (c->head_length == HEAD_MAX - 1) {
            fail(c, "a head of more than %d bytes", HEAD_MAX);
            break;
        }
        c->head[c->head_length++] = bytes[taken++];
        if (c->head_length > 3 && !memcmp(c->head + c->head_length - 4, "\r\n\r\n", 4)) {
            c->head[c->head_length] = 0;
            c->head_length = 0;
            take_head(c);
        }
    }
    return taken;
}

static size_t feed_size(connection *c, const char *bytes, size_t length)
{
    size_t taken = 0;
    while (taken < length && c->state == CHUNK_SIZE) {
        char byte = bytes[taken++];
        if (byte == '\n') {
            c->head[c->head_length] = 0;
            c->left = strtol(c->head, NULL, 16);
            c->head_length = 0;
            c->state = c->left ? CHUNK_DATA : TRAILER;
        } else if (c->head_length < 16) {
            c->head[c->head_length++] = byte;
        }
    }
    return taken;
}

static size_t feed_data(connection *c, const char *bytes, size_t length, uint64_t now)
{
    size_t part = length < (size_t)c->left ? length : (size_t)c->left;
    c->left -= (long)part;
    bool last = !c->left, chunked = c->chunked;
    take_body(c, bytes, part, now);
    if (last && (c->state == CHUNK_DATA || c->state == BODY)) {
        if (chunked)
            c->state = CHUNK_END;
        else
            finish(c, now);
    }
    return part;
}

/* The line end after a chunk, or the empty line after the last one (nobody here sends trailers). */
static size_t feed_line_end(connection *c, const char *bytes, size_t length, uint64_t now)
{
    const char *end = memchr(bytes, '\n', length);
    if (!end)
        return length;
    if (c->state == CHUNK_END)
        c->state = CHUNK_SIZE;
    else
        finish(c, now);
    return (size_t)(end - bytes) + 1;
}

static size_t feed(connection *c, const char *bytes, size_t length, uint64_t now)
{
    switch (c->state) {
    case HEAD:
        return feed_head(c, bytes, length);
    case CHUNK_SIZE:
        return feed_size(c, bytes, length);
    case CHUNK_DATA:
    case BODY:
        return feed_data(c, bytes, length, now);
    case CHUNK_END:
    case TRAILER:
        return feed_line_end(c, bytes, length, now);
    default:
        return length; /* failed meanwhile, or bytes after the end */
    }
}

static void readable(connection *c)
{
    ssize_t length = recv(c->fd, buffer, sizeof buffer, 0);
    uint64_t now = now_ns();
    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        if (c->state == WAITING)
            hang_up(c);
        else
            fail(c, "the connection ended in state %d after %d chunks: %s", c->state, c->got, length ? strerror(errno) : "end of file");
        return;
    }
    c->before = c->last;
    c->last = now;
    if (measuring)
        reads++;
    for (size_t taken = 0; taken < (size_t)length;)
        taken += feed(c, buffer + taken, (size_t)length - taken, now);
}

/* --- the run --- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, samples *s)
{
    printf("\"%s\":{\"n\":%zu", name, s->length);
    if (s->length) {
        qsort(s->values, s->length, sizeof *s->values, by_value);
        printf(",\"min\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f", s->values[0] / 10.0, s->values[s->length / 2] / 10.0,
               s->values[s->length * 99 / 100] / 10.0, s->values[s->length - 1] / 10.0);
    }
    printf("},");
}

/* Longest time for which an open stream has heard nothing until now. */
static uint64_t longest_silence(uint64_t now)
{
    uint64_t longest = 0;
    for (int i = 0; i < all; i++)
        if (connections[i].state > HEAD && connections[i].state < GONE && now - connections[i].last > longest)
            longest = now - connections[i].last;
    return longest;
}

static void add_group(const char *text)
{
    group *g = &groups[group_count++];
    if (group_count > GROUPS_MAX || sscanf(text, "%d:%d:%ld", &g->count, &g->chunks, &g->usec) != 3 || g->count < 1) {
        fprintf(stderr, "load: %s is not COUNT:CHUNKS:USEC\n", text);
        exit(2);
    }
    all += g->count;
}

static void write_request(group *g)
{
    char body[REQUEST_MAX / 4];
    int length = snprintf(
        body, sizeof body,
        "{\"model\":\"%sbench-%d-%ld\",\"max_tokens\":4096,\"messages\":[{\"role\":\"system\",\"content\":\"You are a patient assistant.\"},{\"role\":\"user\","
        "\"content\":\"Tell me about the lighthouse: who built it, which storms it has seen, how its lamp was lit before there was"
        " electricity, what the keeper did in the long winter evenings, and why the last one would not leave when the machines came."
        " Take your time, begin at the beginning, and do not leave out the cat.\"}],\"temperature\":0.7%s}",
        model, g->chunks, looping ? 0 : g->usec, g->chunks ? ",\"stream\":true" : "");
    g->request_length = snprintf(g->request, sizeof g->request,
                                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: bench\r\nAccept: */*\r\n"
                                 "Content-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
                                 path, port, headers, length, body);
}

static int by_start(const void *a, const void *b)
{
    const connection *x = *(connection *const *)a, *y = *(connection *const *)b;
    return (x->start_at > y->start_at) - (x->start_at < y->start_at);
}

static void prepare(uint64_t begin)
{
    int next = 0;
    connections = calloc((size_t)all, sizeof *connections);
    queue = calloc((size_t)all, sizeof *queue);
    for (group *g = groups; g < groups + group_count; g++) {
        write_request(g);
        for (int i = 0; i < g->count; i++) {
            connection *c = &connections[next++];
            c->of = g;
            c->fd = -1;
            enqueue(c, begin + (uint64_t)(ramp * 1e9 * i / g->count));
        }
    }
    qsort(queue, (size_t)all, sizeof *queue, by_start);
}

static void wait_for_events(uint64_t until)
{
    struct epoll_event events[256];
    uint64_t now = now_ns();
    if (queue_length && queue[queue_head]->start_at < until)
        until = queue[queue_head]->start_at;
    uint64_t left = until > now ? until - now : 0;
    struct timespec wait = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    int ready = epoll_pwait2(poller, events, 256, &wait, NULL);
    for (int i = 0; i < ready; i++) {
        connection *c = events[i].data.ptr;
        if (c->fd < 0)
            continue;
        if (c->state == CONNECTING)
            connected(c);
        else
            readable(c);
    }
}

static void run_until(uint64_t end, bool while_active)
{
    uint64_t now;
    while ((now = now_ns()) < end && (!while_active || active)) {
        if (!stopping)
            start_what_is_due(now);
        wait_for_events(end);
    }
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {
        {"open", 1, 0, 'o'}, {"loop", 1, 0, 'l'}, {"port", 1, 0, 'p'},   {"path", 1, 0, 'u'},  {"model", 1, 0, 'M'}, {"header", 1, 0, 'H'}, {"ramp", 1, 0, 'r'},
        {"warm", 1, 0, 'w'}, {"window", 1, 0, 'W'}, {"drain", 1, 0, 'd'}, {"leave", 0, 0, 'x'}, {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        switch (option) {
        case 'l': looping = true; /* fall through */
        case 'o': add_group(optarg); break;
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 'M': model = optarg; break;
        case 'H': strcat(strncat(headers, optarg, sizeof headers - strlen(headers) - 3), "\r\n"); break;
        case 'r': ramp = atof(optarg); break;
        case 'w': warm = atof(optarg); break;
        case 'W': window = atof(optarg); break;
        case 'd': drain = atof(optarg); break;
        case 'x': leaving = true; break;
        default: exit(2);
        }
    }
}

int main(int count, char **arguments)
{
    struct rlimit files;
    read_options(count, arguments);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    poller = epoll_create1(0);

    uint64_t begin = now_ns(), opened = begin + (uint64_t)((ramp + warm) * 1e9);
    prepare(begin);
    run_until(opened, false);

    puts("window");
    measuring = true;
    uint64_t measured = now_ns();
    int open = active;
    run_until(opened + (uint64_t)(window * 1e9), false);
    measuring = false;
    uint64_t now = now_ns(), silence = longest_silence(now);
    double seconds = (double)(now - measured) / 1e9;
    puts("done");
    (void)getchar();

    stopping = true;
    if (!leaving)
        run_until(now_ns() + (uint64_t)(drain * 1e9), true);
    printf("{\"seconds\":%.3f,\"chunks\":%lu,\"requests\":%lu,\"reads\":%lu,\"open\":%d,\"unfinished\":%d,", seconds, chunks, requests, reads,
           open, leaving ? 0 : active);
    report("added_us", &added);
    report("first_us", &first);
    report("request_us", &whole);
    report("keepalive_us", &silences);
    printf("\"longest_silence_us\":%.1f,\"errors\":%lu,\"error\":\"%s\"}\n", (double)silence / 1e3, errors, first_error);
    return 0;
}
