"use strict";
// The likely cause of a bad verdict, and the setting that mends it, by what the answer's headers give away of who stands on
// the way. `llm-proxy doctor` and docs/platforms.md name the same settings; tests hold this file to them. Words in `…` are code.

const QUIET = 3; // times the usual gap without an event, then the cut: silence was the reason
const USUAL = 150; // ms, the least that counts as a usual gap

/** Headers by which a product gives itself away. */
const SIGNS = [
  ["nginx", "server", /nginx|openresty/i],
  ["Caddy", "server", /caddy/i],
  ["Caddy", "via", /caddy/i],
  ["Cloudflare", "cf-ray", /./],
  ["Cloudflare", "server", /cloudflare/i],
  ["CloudFront", "x-amz-cf-id", /./],
  ["CloudFront", "via", /cloudfront/i],
  ["AWS API Gateway", "x-amz-apigw-id", /./],
  ["AWS Application LB", "server", /awselb/i],
  ["AWS Application LB", "x-amzn-trace-id", /./],
  ["Google Cloud Run", "server", /google frontend/i],
  ["Google Cloud external Application LB", "via", /\bgoogle\b/i],
  ["Azure Application Gateway", "server", /microsoft-azure-application-gateway/i],
  ["Heroku", "server", /heroku/i],
  ["Heroku", "via", /heroku|vegur/i],
  ["Fly.io", "fly-request-id", /./],
  ["Fly.io", "server", /^fly\//i],
  ["Fastly", "x-fastly-request-id", /./],
  ["Fastly", "x-served-by", /^cache-/i],
  ["Kong", "via", /kong/i],
  ["Kong", "x-kong-proxy-latency", /./],
  ["Envoy", "server", /envoy/i],
  ["Envoy", "x-envoy-upstream-service-time", /./],
  ["Vercel", "x-vercel-id", /./],
];

const CAUSES = {
  held: (who) => `${who} collects the answer before it passes it on.`,
  encoded: (who) => `${who} compresses the stream, and holds it back until there is enough to compress.`,
  silence: (who) => `${who} ended the answer because for some time nothing was sent.`,
  total: (who) => `${who} ended the answer while events were still coming: a limit on its whole length, a restart, a lost connection.`,
};

const SETTINGS = {
  held: {
    nginx: "`proxy_buffering off;` in the `location` of the proxy, or no `X-Accel-Buffering` in its `proxy_ignore_headers`",
    Caddy: "No `response_buffers` and no `encode` on this route",
    "AWS API Gateway": "Response transfer mode `STREAM` for the integration; HTTP APIs cannot stream",
    "Azure Application Gateway": "In its configuration, response buffering off",
  },
  encoded: {
    nginx: "`gzip off;` and `proxy_buffering off;` in the `location` of the proxy",
    Caddy: "No `encode` on this route: up to 2.8 a whole stream waits in it",
    CloudFront: "A cache policy that does not compress, for these paths",
  },
  silence: {
    nginx: "`proxy_read_timeout 75s;`: 75 s are far above the keepalives of the proxy",
    Cloudflare: "`streaming.keepalive_interval` below 40 s: its limit is 120 s",
    CloudFront: "`streaming.keepalive_interval` below 10 s, or a longer origin response timeout than 30 s",
    "AWS Application LB": "`streaming.keepalive_interval` below its `idle_timeout.timeout_seconds`",
    "Azure Application Gateway": "For the backend, request timeout 75 s",
    Heroku: "`streaming.keepalive_interval` below 55 s, and `commit_after` below 30 s",
    "Fly.io": "`streaming.keepalive_interval` below 60 s",
    Fastly: "A `between_bytes_timeout` of 60 s, or a `streaming.keepalive_interval` of 3 s",
    Envoy: "A longer `stream_idle_timeout` than 5 minutes",
    Kong: "A longer `read_timeout` of the service than 60 s",
  },
  total: {
    CloudFront: "No response completion timeout, or one above the longest stream",
    "AWS API Gateway": "Response transfer mode `STREAM`: 29 s become 15 minutes",
    "Google Cloud external Application LB": "`gcloud compute backend-services update NAME --timeout=7200`",
    "Google Cloud Run": "`gcloud run services update NAME --timeout=3600`",
    Envoy: "`timeout: 0s` on the route",
    Vercel: "A longer `maxDuration`",
  },
};

const WHOEVER_IT_IS = {
  held: "No response buffering on this route; `llm-proxy doctor` with the address of each hop finds who does it.",
  encoded: "No compression on this route; `llm-proxy doctor` with the address of each hop finds who does it.",
  silence: "A `streaming.keepalive_interval` of a third of that limit, or a longer limit there.",
  total: "If it is the same second each time, it is a limit on the whole answer: raise it there, keepalives do not help.",
};

const REFUSALS = [
  {
    statuses: [401, 403],
    cause: "The proxy does not accept this credential, or it was given none.",
    fix: "A key from `llm-proxy key`, or a token of a configured issuer; `diagnostics: {public: true}` opens this stream to all.",
  },
  {
    statuses: [404, 405],
    cause: "What answers here does not know this path: a server in front does not pass all paths on, or passes them on changed.",
    fix: "Every path to the proxy, unchanged.",
  },
  {
    statuses: [429, 503],
    cause: "The proxy, or a server in front of it, takes no further request now.",
    fix: "Check again in a moment; the proxy's own limits are `limits.streams` and `limits.streams_per_subject`.",
  },
  {
    statuses: [502, 504],
    cause: "A server in front does not reach the proxy.",
    fix: "The proxy's address in the configuration of that server; and the proxy must run.",
  },
  {
    statuses: [200],
    cause: "Something else answers in the proxy's place: a sign-in page, or another site.",
    fix: "This path past the sign-in of the server in front.",
  },
];

const UNANSWERED = {
  cause: "The request did not reach the proxy, or its answer not this page: a lost connection, a redirect to another site, a filter.",
  fix: "`llm-proxy doctor` with the address of each hop finds who refuses.",
};

/** Return cause and fix for *verdict* on what was seen; null where there is nothing to mend. */
function remedyFor(verdict, seen) {
  if (verdict.word === "STREAMING") return null;
  if (verdict.word === "REFUSED") return REFUSALS.find(({ statuses }) => statuses.includes(seen.status)) ?? UNANSWERED;
  const symptom = symptomOf(verdict, seen);
  const product = productsOf(seen.headers).find((name) => name in SETTINGS[symptom]);
  return { cause: CAUSES[symptom](product ?? "Something on the way"), fix: SETTINGS[symptom][product] ?? WHOEVER_IT_IS[symptom] };
}

/** Return who has left a sign in *headers*, in the order of SIGNS. */
function productsOf(headers) {
  return SIGNS.filter(([, header, value]) => value.test(headers[header] ?? "")).map(([product]) => product);
}

function symptomOf({ word }, seen) {
  if (word === "CUT") return wasSilent(seen) ? "silence" : "total";
  return /^(?!identity)./.test(seen.headers["content-encoding"] ?? "") ? "encoded" : "held";
}

function wasSilent({ arrived, end, endedAt }) {
  if (end === "silent" || arrived.length === 0) return true;
  const usual = (arrived.at(-1) - arrived[0]) / Math.max(1, arrived.length - 1);
  return endedAt - arrived.at(-1) > QUIET * Math.max(usual, USUAL);
}
