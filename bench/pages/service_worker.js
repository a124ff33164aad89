// Passes on what the page asks for, in the way that the path names.
addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil(clients.claim()));
addEventListener('message', () => fetch('/m/in_service_worker.json'));
const WAYS = {
  passed: request => fetch(request),
  cloned: request => fetch(request.clone()),
  by_url: request => fetch(request.url),
  fresh: request => fetch(request, { cache: 'no-store' }),
  rebuilt: request => fetch(new Request(request.url, {
    method: request.method, headers: request.headers, credentials: 'include', redirect: 'manual',
    mode: request.mode === 'navigate' ? 'same-origin' : request.mode,
  })),
  cached: async request => { const kept = await caches.open('pages'); await kept.add(request.url); return kept.match(request.url); },
};
addEventListener('fetch', event => {
  const way = /\/m\/(passed|cloned|by_url|fresh|rebuilt|cached)_/.exec(event.request.url);
  if (way) event.respondWith(WAYS[way[1]](event.request));
});
