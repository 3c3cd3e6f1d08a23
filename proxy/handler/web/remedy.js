"use strict";
// The likely cause of a bad verdict and the setting that mends it, by what the answer's headers give away. Words in `…` are code.

const HOLDS = ["BUFFERED", "COALESCED"];

// In order: the first that fits the verdict and the headers is told.
const REMEDIES = [
  {
    words: HOLDS,
    sign: (told) => /gzip|br|zstd|deflate/.test(told.encoding),
    cause: "A server on the way compresses the stream, and a compressor waits until there is enough to compress.",
    fix: "No compression for this path: in Caddy no `encode` here, in nginx `gzip off;`, at a CDN a policy without compression.",
  },
  {
    words: HOLDS,
    sign: (told) => /nginx|openresty/i.test(told.server),
    cause: "nginx collects an answer before it passes it on, unless it is told not to.",
    fix: "`proxy_buffering off;` in the `location` of the proxy, or no `proxy_ignore_headers X-Accel-Buffering` there.",
  },
  {
    words: HOLDS,
    sign: (told) => /caddy/i.test(told.server + told.via),
    cause: "Caddy's `encode` waits for enough bytes to compress; up to 2.8 a whole stream waits in it.",
    fix: "No `encode` on this route, and in `reverse_proxy` no `flush_interval` above zero and no `response_buffers`.",
  },
  {
    words: HOLDS,
    sign: (told) => told.has("x-amz-cf-id"),
    cause: "CloudFront holds back what it compresses.",
    fix: "A cache policy without compression for this path.",
  },
  {
    words: HOLDS,
    sign: (told) => told.has("apigw-requestid") || told.has("x-amz-apigw-id"),
    cause: "API Gateway collects the whole answer.",
    fix: "On a REST API the response transfer mode `STREAM`; HTTP APIs cannot stream.",
  },
  {
    words: HOLDS,
    sign: (told) => /Microsoft-Azure-Application-Gateway/i.test(told.server),
    cause: "Application Gateway has a response buffer, which is on by default.",
    fix: "Response buffering off, request timeout 75 s.",
  },
  {
    words: HOLDS,
    sign: () => true,
    cause: "A server between the proxy and this browser (or a virus scanner beside it) collects the answer.",
    fix: "`llm-proxy doctor` with the address of each hop finds the one; docs/platforms.md has the setting for each product.",
  },
  {
    words: ["CUT"],
    sign: (told) => /nginx|openresty/i.test(told.server),
    cause: "nginx ends an answer after 60 s without a byte, or as soon as its own upstream connection breaks.",
    fix: "`proxy_read_timeout 75s;`, and a `streaming.keepalive_interval` of a third of it.",
  },
  {
    words: ["CUT"],
    sign: (told) => /envoy/i.test(told.server),
    cause: "Envoy ends every answer after 15 s, whether or not bytes flow.",
    fix: "`timeout: 0s` on the route.",
  },
  {
    words: ["CUT"],
    sign: (told) => /google/i.test(told.via),
    cause: "Google's load balancer ends an answer 30 s after its request, whether or not bytes flow.",
    fix: "`gcloud compute backend-services update NAME --timeout=7200`",
  },
  {
    words: ["CUT"],
    sign: () => true,
    cause: "A server on the way ended the answer: a limit on its whole length or on silence, a restart, or a lost connection.",
    fix: "Check again: the same second each time is a limit, and docs/platforms.md has the setting for each product.",
  },
  {
    words: ["REFUSED"],
    sign: (told) => told.status === 401,
    cause: "The proxy does not accept this credential, or was given none.",
    fix: "A key from `llm-proxy key` or a token of a configured issuer; or `diagnostics: {public: true}`, which opens this stream to all.",
  },
  {
    words: ["REFUSED"],
    sign: (told) => told.status === 404 || told.status === 405,
    cause: "Something answers here that does not know `/test/stream`: the server in front does not pass this path on.",
    fix: "Send the whole path to the proxy unchanged, without a list of paths.",
  },
  {
    words: ["REFUSED"],
    sign: (told) => told.status === 429 || told.status === 503,
    cause: "The proxy, or a server in front of it, takes no further request now.",
    fix: "Check again in a moment; the limits are `limits.streams` and `limits.streams_per_subject`.",
  },
  {
    words: ["REFUSED"],
    sign: (told) => told.status === 502 || told.status === 504,
    cause: "The server in front does not reach the proxy.",
    fix: "The address and port in its configuration, and whether the proxy runs.",
  },
  {
    words: ["REFUSED"],
    sign: (told) => told.status === 200,
    cause: "Something else answers in the proxy's place: a sign-in page, or another site.",
    fix: "Let `/test/stream` pass without a sign-in of the server in front.",
  },
  {
    words: ["REFUSED"],
    sign: () => true,
    cause: "The request did not get to the proxy, or the answer not back: a lost connection, a redirect to another site, or a filter.",
    fix: "`llm-proxy doctor` with the address of each hop finds the one that refuses.",
  },
];

/** Return cause and fix for *verdict* and the headers of its stream; null where there is nothing to mend. */
function remedyFor(verdict, seen) {
  const told = {
    status: seen.status,
    server: seen.headers.server ?? "",
    via: seen.headers.via ?? "",
    encoding: seen.headers["content-encoding"] ?? "",
    has: (name) => name in seen.headers,
  };
  return REMEDIES.find(({ words, sign }) => words.includes(verdict.word) && sign(told)) ?? null;
}
