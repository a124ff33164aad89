// The verdict of an .xbot file inside nginx, by njs: bench/services.py puts what is needed of the file into a preloaded object, which all
// requests share. All else here is made anew for each request: that is how njs works.
//
// What it computes is what bench/lua/gate.lua computes, from the same features, and what that leaves out it leaves out, too. njs has numbers
// of 53 bits and no compiler: a hash of 64 bits is two halves here, and each product of them four products.
const K = model.k, F = model.features, T = model.families, classes = model.classes;
const lower = model.lower, upper = model.upper, mean = model.mean, folded = model.folded, buckets = model.buckets;
const DIGIT = 2, HIGH = 4, CONTROL = 8; // csrc/base/span.h; 1 is a letter

// ---- csrc/base/hash.h, in halves

let hi = 0, lo = 0; // the hash that is being made

function times(bh, bl) {
    const low = (lo & 0xffff) * bl, high = (lo >>> 16) * bl, sum = low + (high % 65536) * 65536;
    hi = (Math.floor(sum / 4294967296) + Math.floor(high / 65536) + Math.imul(hi, bl) + Math.imul(lo, bh)) >>> 0;
    lo = sum >>> 0;
}

function golden(n) {
    hi = 0;
    lo = n;
    times(0x9e3779b9, 0x7f4a7c15);
}

function half(p, at, end) {
    return ((at < end ? p[at] : 0) | (at + 1 < end ? p[at + 1] : 0) << 8 | (at + 2 < end ? p[at + 2] : 0) << 16
            | (at + 3 < end ? p[at + 3] : 0) << 24) | 0x20202020;
}

function hash(p, at, end) {
    golden(end - at);
    for (; at < end; at += 8) {
        lo = (lo ^ half(p, at, end)) >>> 0;
        hi = (hi ^ half(p, at + 4, end)) >>> 0;
        times(0xff51afd7, 0xed558ccd);
        lo = (lo ^ hi) >>> 0;
    }
    times(0xc4ceb9fe, 0x1a85ec53);
    lo = (lo ^ (lo >>> 29 | hi << 3)) >>> 0;
    hi = (hi ^ hi >>> 29) >>> 0;
}

function mix() {
    lo = (lo ^ hi >>> 1) >>> 0;
    times(0xff51afd7, 0xed558ccd);
    lo = (lo ^ (lo >>> 29 | hi << 3)) >>> 0;
    hi = (hi ^ hi >>> 29) >>> 0;
    times(0xc4ceb9fe, 0x1a85ec53);
    lo = (lo ^ hi) >>> 0;
}

// ---- rows

let margin = model.bias, taken = [];

function token(family) { // of the hash in hi and lo
    const h = hi, l = lo;
    golden(family + 1);
    hi = (hi ^ h) >>> 0;
    lo = (lo ^ l) >>> 0;
    mix();
    const bucket = hi >>> (32 - K);
    if (taken.indexOf(bucket) < 0) {
        taken.push(bucket);
        margin += buckets[bucket];
    }
}

function dense(i, value) {
    margin += ((value < lower[i] ? lower[i] : value > upper[i] ? upper[i] : value) - mean[i]) * folded[i];
}

function network(value) {
    hi = value > 0xffffffff ? Math.floor(value / 4294967296) : 0;
    lo = value >>> 0;
    mix();
    token(T.ip_net);
}

function address(text) {
    const parts = text.split('.');
    if (parts.length !== 4) {
        return;
    }
    for (let i = 0; i < 4; i++) {
        dense(F.ip_1 + i, +parts[i]);
    }
    const three = (+parts[0] * 256 + +parts[1]) * 256 + +parts[2];
    dense(F.ip_v6, 0);
    network((32 * 16777216 + three) * 256 + +parts[3]);
    network(24 * 16777216 + three);
    network(16 * 65536 + Math.floor(three / 256));
}

function is(p, size, word) {
    if (size !== word.length) {
        return false;
    }
    for (let i = 0; i < size; i++) {
        if ((p[i] | 0x20) !== (word.charCodeAt(i) | 0x20)) {
            return false;
        }
    }
    return true;
}

function agent(p) {
    const n = p.length;
    let count = 0, digits = 0, semicolons = 0, strange = 0, mail = 0, i = 0;
    while (i < n) {
        let kind = classes[p[i]];
        if (kind === 0 || kind === CONTROL) {
            if (p[i] === 59) { semicolons++; }
            if (p[i] === 64) { mail = 1; }
            if (kind === CONTROL) { strange++; }
            i++;
            continue;
        }
        const from = i, before = digits;
        for (; i < n; i++) {
            kind = classes[p[i]];
            if (kind === 0 || kind === CONTROL) { break; }
            if (kind === DIGIT) { digits++; } else if (kind === HIGH) { strange++; }
        }
        count++;
        if (digits - before !== i - from) { // a bare number is no word
            hash(p, from, i);
            token(T.ua_word);
        }
    }
    dense(F.ua_empty, n === 0 ? 1 : 0);
    dense(F.ua_length, Math.min(n, 1024));
    dense(F.ua_words, Math.min(count, 128));
    dense(F.ua_digits, Math.min(digits, 256));
    dense(F.ua_short, n > 0 && count < 5 ? 1 : 0);
    dense(F.ua_semicolons, Math.min(semicolons, 32));
    dense(F.ua_strange, strange > 0 ? 1 : 0);
    dense(F.ua_mozilla, n >= 8 && is(p, 8, 'mozilla/') ? 1 : 0);
    dense(F.ua_mail, mail);
}

function referrer(p) {
    const n = p.length, colon = p.indexOf(58);
    let from = 0, stop = 0, scheme = 0, dots = 0, port = -1;
    if (colon >= 0 && colon < Math.min(n - 2, 16) && p[colon + 1] === 47 && p[colon + 2] === 47) {
        scheme = colon;
        from = stop = colon + 3;
        for (; stop < n && p[stop] !== 47 && p[stop] !== 63 && p[stop] !== 35; stop++) {
            const c = p[stop];
            if (c === 64) { from = stop + 1; dots = 0; port = -1; }
            if (c === 46 && port < 0) { dots++; }
            if (c === 58 && port < 0) { port = stop; }
        }
    }
    let query = stop;
    while (query < n && p[query] !== 63) {
        query++;
    }
    const host = port < 0 ? stop : port, http = is(p, scheme, 'http'), https = is(p, scheme, 'https');
    dense(F.ref_empty, n === 0 ? 1 : 0);
    dense(F.ref_length, Math.min(n, 1024));
    dense(F.ref_path_length, Math.min(query - stop, 1024));
    dense(F.ref_query_length, query < n ? Math.min(n - query - 1, 1024) : 0);
    dense(F.ref_host_dots, Math.min(dots, 16));
    dense(F.ref_scheme_http, http ? 1 : 0);
    dense(F.ref_scheme_https, https ? 1 : 0);
    dense(F.ref_scheme_other, n > 0 && !http && !https ? 1 : 0);
    if (host > from) {
        hash(p, from, host);
        token(T.ref_host);
    }
}

const NOTHING = Buffer.alloc(0);

function verdict(r) {
    address(r.variables.remote_addr);
    agent(r.rawVariables.http_user_agent || NOTHING);
    referrer(r.rawVariables.http_referer || NOTHING);
    return 1 / (1 + Math.exp(model.a * margin + model.b)) >= model.threshold ? 'bot' : 'human';
}

export default {verdict};
