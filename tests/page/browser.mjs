// Browsers for the tests, in whatever version is installed. Tests check which features a browser has.
import { accessSync } from 'node:fs';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

/** The browsers' paths: from settings, or Debian's. */
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

/**
 * For the option `skip` of a test: the reason, if there is no Firefox.
 * @returns {string | false}
 */
export function withoutFirefox() {
  try {
    accessSync(FIREFOX);
    return false;
  } catch {
    return `there is no Firefox ESR at ${FIREFOX}`;
  }
}

/** The browsers that were already reported. @type {Set<string>} */
const found = new Set();

/** Prints once which browser is tested. @param {string} name */
function tell(name) {
  if (!found.has(name)) console.log(`found ${name}`);
  found.add(name);
}

/** @param {string[]} [args] */
export async function openChromium(args = []) {
  accessSync(CHROMIUM);
  // Chromium's own sandbox does not work as root in a container.
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', ...args] });
  tell(`Chromium ${browser.version()}`);
  return browser;
}

/**
 * Starts Chromium with a profile, as people use it: there, links may cause preconnections, unlike in Playwright's own pages.
 * @param {string} profile a folder
 */
export async function openProfile(profile) {
  accessSync(CHROMIUM);
  return chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    args: ['--no-sandbox'],
    ignoreDefaultArgs: ['--disable-background-networking'],
  });
}

/** @param {Record<string, unknown>} [preferences] as in `about:config` */
export async function openFirefox(preferences = {}) {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: preferences,
  });
  tell((await browser.version()).replace('firefox/', 'Firefox '));
  return browser;
}

/**
 * Whether the page's browser can suspend code (JSPI); for those that cannot, see docs/page.md.
 * @param {{ evaluate: (run: () => boolean) => Promise<boolean> }} page of any of the drivers
 */
export const suspends = (page) => page.evaluate(() => 'Suspending' in WebAssembly);

/**
 * Opens a page, and records its errors and warnings.
 * @param {import('playwright-core').Browser} browser @param {string} url
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
export async function openPage(browser, url, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  return { page, complaints, close: () => context.close() };
}
