// Puppeteer over the recorded site: node driven.mjs headless|agent|firefox WAY SEED (see record.py). Firefox speaks WebDriver BiDi.
import { createRequire } from 'node:module';
import { appendFileSync } from 'node:fs';

const require = createRequire(process.env.TRAFFIC_NODE + '/');
const puppeteer = require('puppeteer-core');
const [variant, way, seed] = process.argv.slice(2);
const site = process.env.TRAFFIC_URL;
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
let state = [...`${variant}${way}${seed}`].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
const random = () => ((state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32);
// As rests.py: seconds around a median.
async function rest(median, spread = 0.5) {
  const seconds = median * Math.exp(spread * (random() + random() + random() - 1.5) * 2);
  await sleep(seconds > 60 ? 2.3 : 0.05);
  appendFileSync(process.env.TRAFFIC_RESTS, `${(Date.now() / 1000).toFixed(6)} ${seconds.toFixed(3)}\n`);
}

const firefox = variant === 'firefox';
const browser = await puppeteer.launch({
  browser: firefox ? 'firefox' : 'chrome', executablePath: firefox ? '/usr/bin/firefox-esr' : '/usr/bin/chromium',
  headless: true, acceptInsecureCerts: true, args: firefox ? [] : ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
});
const page = await browser.newPage();
page.setDefaultTimeout(20000);
if (variant === 'agent') {
  await page.setUserAgent((await browser.userAgent()).replace('Headless', ''));
}
const go = (path) => page.goto(site + path);
const hrefs = () => page.evaluate(() => Array.from(document.querySelectorAll('main a[href]'), (a) => a.pathname));
const ways = {
  async goto() {
    let todo = [];
    for (const path of ['/c/textile', '/blog']) {
      await go(path);
      todo.push(...(await hrefs()));
    }
    todo = [...new Set(todo)].sort(() => random() - 0.5).slice(0, 14);
    for (const path of todo) {
      await go(path);
      await rest(2, 0.3);
    }
  },
  async links() {
    await go('/');
    for (let n = 0; n < 14; n++) {
      const found = (await hrefs()).filter((path) => /^\/(p|blog|c)\//.test(path));
      const path = found[Math.floor(random() * Math.min(9, found.length))];
      if (path) await Promise.all([page.waitForNavigation(), page.click(`main a[href="${path}"]`)]);
      else await go('/blog');
      await rest(6);
    }
  },
  async lean() {
    await page.setRequestInterception(true);
    page.on('request', (asked) => (['image', 'font', 'stylesheet'].includes(asked.resourceType()) ? asked.abort() : asked.continue()));
    await ways.goto();
  },
  async prices() {
    await go('/c/travel');
    const found = (await hrefs()).filter((path) => path.startsWith('/p/')).slice(0, 3);
    for (let n = 0; n < 5; n++) {
      for (const path of found) {
        await go(path);
        await rest(4, 0.3);
      }
      await rest(3600, 0.05);
    }
  },
  async search() {
    for (const word of 'lamp chair table silk rope stone wax tray jar vase map cup tea wool'.split(' ')) {
      await go(`/search?q=${word}`);
      await rest(3);
    }
  },
};
try {
  await ways[way]();
} finally {
  await browser.close();
}
