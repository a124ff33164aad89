// What pages and people do in a browser, by name. Each is a function of the site's own origin, and of one that is another site's.
// `part`: the page stays. `leave`: it ends, so each starts on a page of its own. What they ask for lies below /m/, by the moment's name.
const made = (tag, attributes) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  document.body.append(element);
  return element;
};
const html = text => void document.body.insertAdjacentHTML('beforeend', text);
const script = (type, text) => { const e = document.createElement('script'); e.type = type; e.textContent = text; document.body.append(e); };
const linked = (href, attributes = {}) => made('a', { href, ...attributes }).click();
const sent = (method, body, type) => ({ method, body, ...(type ? { headers: { 'content-type': type } } : {}) });
const asked = (name, headers = {}, method = 'GET') => new Promise(done => {
  const request = new XMLHttpRequest();
  request.open(method, '/m/' + name);
  for (const [header, value] of Object.entries(headers)) request.setRequestHeader(header, value);
  request.onloadend = done;
  request.send(method === 'GET' ? null : 'a=b');
});
const heard = source => new Promise(done => { source.onmessage = source.onerror = done; }).then(() => source.close());
const closed = socket => new Promise(done => { socket.onclose = done; });
const worker = text => new Worker(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));
const form = (attributes, fields = '<input name=q value=x>') => { made('form', attributes).innerHTML = fields; document.forms[0].requestSubmit(); };
const saved = (href, attributes = {}) => linked(href, { download: '', ...attributes });

const part = {
  // scripts
  'fetch': () => fetch('/m/fetch.json'),
  'fetch json': () => fetch('/m/fetch_json', sent('POST', '{}', 'application/json')),
  'fetch form': () => fetch('/m/fetch_form', sent('POST', new URLSearchParams({ a: 1 }))),
  'fetch form data': () => { const d = new FormData(); d.set('a', 'b'); return fetch('/m/fetch_form_data', sent('POST', d)); },
  'fetch put': () => fetch('/m/fetch_put', sent('PUT', 'x')),
  'fetch upload': () => fetch('/m/fetch_upload.jpg', sent('PUT', new Blob(['x'], { type: 'image/jpeg' }))),
  'fetch patch': () => fetch('/m/fetch_patch', sent('PATCH', '{}', 'application/merge-patch+json')),
  'fetch delete': () => fetch('/m/fetch_delete', { method: 'DELETE' }),
  'fetch head': () => fetch('/m/fetch_head', { method: 'HEAD' }),
  'fetch keepalive': () => fetch('/m/fetch_keepalive', { keepalive: true, method: 'POST', body: 'x' }),
  'fetch reload': () => fetch('/m/fetch_reload.json', { cache: 'reload' }),
  'fetch no-store': () => fetch('/m/fetch_no_store.json', { cache: 'no-store' }),
  'fetch no-cache': () => fetch('/m/fetch_no_cache.json', { cache: 'no-cache' }),
  'fetch again': async () => { await fetch('/m/fetch_again.json'); await fetch('/m/fetch_again.json', { cache: 'no-cache' }); },
  'fetch range': () => fetch('/m/fetch_range.bin', { headers: { Range: 'bytes=0-10' } }),
  'fetch without referrer': () => fetch('/m/fetch_no_referrer.json', { referrerPolicy: 'no-referrer' }),
  'fetch low priority': () => fetch('/m/fetch_low.json', { priority: 'low' }),
  'fetch by axios': () => fetch('/m/fetch_axios', { headers: { Accept: 'application/json, text/plain, */*', Authorization: 'Bearer x' } }),
  'fetch by htmx': () => fetch('/m/fetch_htmx', { headers: { 'HX-Request': 'true', 'HX-Current-URL': location.href, 'HX-Target': 'list' } }),
  'fetch by turbo': () => fetch('/m/fetch_turbo', { headers: { Accept: 'text/vnd.turbo-stream.html, text/html, application/xhtml+xml', 'Turbo-Frame': 'list' } }),
  'fetch by next': () => fetch('/m/fetch_next?_rsc=1a2b', { headers: { RSC: '1', 'Next-Router-State-Tree': '%5B%22%22%5D', 'Next-Url': '/' } }),
  'fetch a page': () => fetch('/m/fetch_page', { headers: { Accept: 'text/html, application/xhtml+xml' } }),
  'fetch grpc-web': () => fetch('/m/greeter.Greeter/SayHello', { method: 'POST', body: new Uint8Array(5), headers: { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' } }),
  'fetch cross-site': (own, other) => fetch(other + '/m/fetch_cross.json'),
  'fetch cross-site with cookies': (own, other) => fetch(other + '/m/fetch_cross_cookies.json', { credentials: 'include' }),
  'fetch cross-site, asked first': (own, other) => fetch(other + '/m/fetch_cross_put', { method: 'PUT', body: '{}', headers: { 'content-type': 'application/json', 'x-app': '1' } }),
  'fetch no-cors': (own, other) => fetch(other + '/m/fetch_no_cors.png', { mode: 'no-cors' }),
  'fetch later': () => window.fetchLater && fetchLater('/m/fetch_later', { activateAfter: 0 }),
  'xhr': () => asked('xhr', { 'X-Requested-With': 'XMLHttpRequest' }),
  'xhr post': () => asked('xhr_post', { 'X-Requested-With': 'XMLHttpRequest', 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' }, 'POST'),
  'beacon': () => navigator.sendBeacon('/m/beacon', 'x'),
  'beacon json': () => navigator.sendBeacon('/m/beacon_json', new Blob(['{}'], { type: 'application/json' })),
  'beacon form': () => navigator.sendBeacon('/m/beacon_form', new URLSearchParams('a=b')),
  'beacon cross-site': (own, other) => navigator.sendBeacon(other + '/m/beacon_cross', 'x'),
  'ping': () => linked('#here', { ping: '/m/ping' }),
  'event source': () => heard(new EventSource('/m/events')),
  'event source cross-site': (own, other) => heard(new EventSource(other + '/m/events_cross', { withCredentials: true })),
  'websocket': own => closed(new WebSocket(own.replace('http', 'ws') + '/m/socket')),
  'websocket protocol': own => closed(new WebSocket(own.replace('http', 'ws') + '/m/socket_protocol', ['graphql-transport-ws'])),
  'import': () => import('/m/import.mjs'),
  // Older browsers could not read all the others for these.
  'import json': () => Function("return import('/m/import.json', { with: { type: 'json' } })")(),
  'import css': () => Function("return import('/m/import.css', { with: { type: 'css' } })")(),
  'wasm': () => WebAssembly.compileStreaming(fetch('/m/compiled.wasm')),
  'cache add': async () => (await caches.open('kept')).add('/m/cache_add.json'),
  'font by script': () => new FontFace('f', 'url(/m/font_load.woff2)').load(),
  'image by script': () => { const image = new Image(); image.src = '/m/image_decode.png'; return image.decode(); },
  'audio by script': () => void new Audio('/m/audio_new.ogg').play(),
  'identity': own => { navigator.credentials.get({ identity: { providers: [{ configURL: own + '/m/identity.json', clientId: '1' }] } }).catch(() => 0); },
  // workers
  'worker': () => void new Worker('/m/worker.js'),
  'worker module': () => void new Worker('/m/worker.mjs', { type: 'module' }),
  'worker that fetches': () => void new Worker('/m/fetching.js'),
  'worker that imports': () => void new Worker('/m/importing.js'),
  'worker of a blob': own => void worker(`fetch('${own}/m/in_blob_worker.json')`),
  'shared worker': () => new SharedWorker('/m/shared.js').port.start(),
  'paint worklet': () => CSS.paintWorklet.addModule('/m/paint.js'),
  'audio worklet': () => new AudioContext().audioWorklet.addModule('/m/worklet.js'),
  // what a page is made of
  'image': () => made('img', { src: '/m/image.png' }),
  'image cross-site': (own, other) => made('img', { src: other + '/m/image_cross.png' }),
  'image with cors': (own, other) => made('img', { src: other + '/m/image_cors.png', crossorigin: 'anonymous' }),
  'image without referrer': () => made('img', { src: '/m/image_no_referrer.png', referrerpolicy: 'no-referrer' }),
  'image by a program': () => made('img', { src: '/m/image.php?id=3' }),
  'image without a suffix': () => made('img', { src: '/m/pixel' }),
  'image with attribution': () => made('img', { src: '/m/image_attribution.png', attributionsrc: '' }),
  'picture': () => html('<picture><source type=image/webp srcset=/m/picture.webp><img src=/m/picture.png></picture><img srcset="/m/set.png 1x">'),
  'style': () => made('link', { rel: 'stylesheet', href: '/m/style.css' }),
  'style cross-site': (own, other) => made('link', { rel: 'stylesheet', href: other + '/m/style_cross.css', crossorigin: 'anonymous' }),
  'style for print': () => made('link', { rel: 'stylesheet', href: '/m/print.css', media: 'print' }),
  'mask': () => made('div', { class: 'mask', style: 'width:9px;height:9px' }),
  'script': () => made('script', { src: '/m/script.js' }),
  'script async': () => made('script', { src: '/m/script_async.js', async: '' }),
  'script cross-site': (own, other) => made('script', { src: other + '/m/script_cross.js' }),
  'script with cors': (own, other) => made('script', { src: other + '/m/script_cors.js', crossorigin: 'anonymous' }),
  'module': () => made('script', { src: '/m/module.mjs', type: 'module' }),
  'module preload': () => made('link', { rel: 'modulepreload', href: '/m/modulepreload.mjs' }),
  'prefetch': () => made('link', { rel: 'prefetch', href: '/m/prefetch.html' }),
  'prefetch of a script': () => made('link', { rel: 'prefetch', href: '/m/prefetch.js', as: 'script' }),
  'speculation': () => script('speculationrules', JSON.stringify({
    prefetch: [{ urls: ['/m/speculation_prefetch.html'], eagerness: 'immediate' }],
    prerender: [{ urls: ['/m/speculation_prerender.html'], eagerness: 'immediate' }] })),
  'preload': () => Object.entries({ script: 'js', style: 'css', font: 'woff2', image: 'png', fetch: 'json', track: 'vtt' }).forEach(
    ([as, suffix]) => made('link', { rel: 'preload', href: `/m/preload.${suffix}`, as, ...(as === 'font' || as === 'fetch' ? { crossorigin: '' } : {}) })),
  'dictionary': () => made('link', { rel: 'compression-dictionary', href: '/m/dictionary.bin' }),
  'icon': () => made('link', { rel: 'icon', href: '/m/icon.svg', type: 'image/svg+xml' }),
  'frame': () => made('iframe', { src: '/m/frame.html' }),
  'frame cross-site': (own, other) => made('iframe', { src: other + '/m/frame_cross.html' }),
  'frame without credentials': (own, other) => made('iframe', { src: other + '/m/frame_credentialless.html', credentialless: '' }),
  'frame in a sandbox': () => made('iframe', { src: '/m/frame_sandbox.html', sandbox: '' }),
  'frame lazy': () => made('iframe', { src: '/m/frame_lazy.html', loading: 'lazy' }),
  'frame that saves': () => made('iframe', { src: '/m/attachment_frame.zip' }),
  'object': () => made('object', { data: '/m/object.svg', type: 'image/svg+xml' }),
  'object pdf': () => made('object', { data: '/m/object.pdf', type: 'application/pdf' }),
  'embed pdf': () => made('embed', { src: '/m/embed.pdf', type: 'application/pdf' }),
  'embed page': () => made('embed', { src: '/m/embed.html' }),
  'video': () => made('video', { src: '/m/video.mp4', poster: '/m/poster.png', preload: 'auto' }),
  'video with cors': (own, other) => made('video', { src: other + '/m/video_cors.mp4', crossorigin: 'anonymous', preload: 'auto' }),
  'audio': () => made('audio', { src: '/m/audio.ogg', preload: 'auto' }),
  'track': () => { const track = document.createElement('track'); Object.assign(track, { src: '/m/track.vtt', default: true, kind: 'captions' });
    made('video', { src: '/m/video_track.mp4' }).append(track); track.track.mode = 'showing'; },
  'svg': () => html('<svg><use href="/m/sprite.svg#a"/><image href="/m/svg_image.png"/></svg>'),
  'input image': () => made('input', { type: 'image', src: '/m/input_image.png' }),
  'policy report': () => made('iframe', { src: '/m/policy.html' }),
};

// Of a page whose service worker answers: with what it fetches, in each way in which workers are written.
const WAYS = ['passed', 'cloned', 'by_url', 'rebuilt', 'fresh', 'cached'];
const parts = way => {
  html(`<img src=/m/${way}_image.png><iframe src=/m/${way}_frame.html></iframe><link rel=stylesheet href=/m/${way}_style.css><video src=/m/${way}_video.mp4></video>`);
  made('script', { src: `/m/${way}_script.js` });
  return Promise.allSettled([fetch(`/m/${way}_fetch.json`), fetch(`/m/${way}_post`, sent('POST', '{}', 'application/json')), new FontFace('f', `url(/m/${way}_font.woff2)`).load()]);
};
const go = path => () => void setTimeout(() => location.assign(path));

const leave = {
  'link': () => linked('/m/link.html'),
  'link without referrer': () => linked('/m/link_no_referrer.html', { rel: 'noreferrer' }),
  'link to a window': () => void open('/m/window.html'),
  'address': go('/m/address.html'),
  'replaced': () => void setTimeout(() => location.replace('/m/replaced.html')),
  'reload': () => void setTimeout(() => location.reload()),
  'redirect': go('/m/redirect.html?to=/m/redirected.html'),
  'redirect cross-site': (own, other) => void setTimeout(() => location.assign(`${other}/m/redirect_cross.html?to=${own}/m/redirected_cross.html`)),
  'refresh': go('/m/refresh.html'),
  'form': () => form({ action: '/m/form_get' }),
  'form post': () => form({ method: 'post', action: '/m/form_post' }),
  'form multipart': () => form({ method: 'post', enctype: 'multipart/form-data', action: '/m/form_multipart' }),
  'form text': () => form({ method: 'post', enctype: 'text/plain', action: '/m/form_text' }),
  'form cross-site': (own, other) => form({ method: 'post', action: other + '/m/form_cross' }, '<input name=SAMLResponse value=x>'),
  'form without referrer': (own, other) => { html('<meta name=referrer content=no-referrer>'); setTimeout(() => form({ method: 'post', action: other + '/m/form_no_referrer' }), 100); },
  'signed in': go('/m/signed_in.html'),
  'with a cookie': go('/m/cookie.html'),
  'beacon at the end': () => { addEventListener('pagehide', () => navigator.sendBeacon('/m/beacon_end', 'x')); location.assign('/m/after_beacon.html'); },
  'cross-site': (own, other) => void setTimeout(() => location.assign(other + '/m/cross.html')),
  'picture by itself': go('/m/top.png'),
  'json by itself': go('/m/top.json'),
  'pdf by itself': go('/m/top.pdf'),
  'film by itself': go('/m/top.mp4'),
  'text by itself': go('/m/top.txt'),
  'xml with a style': go('/m/styled.xml'),
  'change of password': go('/.well-known/change-password'),
  'icon by itself': go('/favicon.ico'),
  'attachment': go('/m/attachment.zip'),
  'saved': () => saved('/m/saved.bin'),
  'saved without referrer': () => saved('/m/saved_no_referrer.zip', { rel: 'noreferrer' }),
  'saved cross-site': (own, other) => saved(other + '/m/saved_cross.bin'),
  'saved pdf': () => saved('/m/saved.pdf'),
  'saved by a program': () => saved('/m/export?format=csv'),
  'interrupted': go('/m/interrupted.bin'),
  'service worker': () => navigator.serviceWorker.register('/service_worker.js').then(() => navigator.serviceWorker.ready),
  'service worker that fetches': () => navigator.serviceWorker.ready.then(found => found.active.postMessage(1)),
};
for (const way of WAYS) leave[`parts ${way}`] = () => parts(way);
for (const way of WAYS) leave[`page ${way}`] = go(`/m/${way}_page.html`);
leave['form passed'] = () => form({ method: 'post', action: '/m/passed_form' });

// Does the moment; gives up after three seconds, and takes no offence at what the browser cannot do.
const moment = (group, name, own, other) => Promise.race([
  new Promise(done => setTimeout(done, 3000)),
  (async () => { try { await group[name](own, other); } catch (cannot) { } })(),
]).then(() => name);
