// Keeps the page so that it opens at once; sound and sessions always need the server.

const CACHE = "gigmate-2";
const FILES = ["/", "/static/style.css", "/static/main.js", "/static/band.js", "/static/calibrate.js", "/static/chirp.js",
  "/static/connection.js", "/static/count-in.js", "/static/figures.js", "/static/protocol.js", "/static/sources.js",
  "/static/stem-ring.js", "/static/tap.js", "/static/timeline.js", "/static/wav.js", "/static/worklets/session.js",
  "/static/icon.svg"];

self.addEventListener("install", (event) => event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES))));

self.addEventListener("activate", (event) => {
  const drop = async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
  };
  event.waitUntil(drop());
});

// The network first: the server's page and protocol belong together.
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || !FILES.includes(url.pathname)) return;
  event.respondWith(fetch(event.request).catch(() => caches.match(event.request, { ignoreSearch: true })));
});
