// A real Chromium at a real `serve`. What a page says to the console, what its policy refuses, and what it throws is
// held against it. The test that started this process does what a page cannot: it is asked by a line, and answers by one.
import { createInterface } from "node:readline";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

export const base = process.env.SYNCLINE_BASE;
const shots = process.env.SYNCLINE_SCREENSHOTS;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test to do something, and waits until it is done. */
export async function ask(what) {
  console.log(`ASK ${what}`);
  const { value, done } = await answers.next();
  if (done) throw new Error(`no answer to: ${what}`);
  return value;
}

export function check(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
}

const complaints = [];

/** A page of its own, with nothing of another's log-in. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  // What a scene brings about itself, such as a server that is gone, it says in `expected`.
  page.on("console", (line) => {
    const isExpected = page.expected?.test(line.text());
    if (["error", "warning"].includes(line.type()) && !isExpected) complaints.push(`${line.type()}: ${line.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  page.on("dialog", (dialog) => {
    if (dialog.type() === "alert") complaints.push(`alert: ${dialog.message()}`);
    dialog.accept();
  });
  return page;
}

export async function logIn(page, token) {
  await page.goto(`${base}/`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

/** A picture for the documentation, where one is wanted. */
export async function picture(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: `${shots}/${name}.png` });
}

/** Runs a scene; what it throws, or any page complained of, fails the test. */
export async function scene(act) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  let failed = null;
  try {
    await act(browser);
    if (complaints.length) failed = complaints.join("\n");
  } catch (error) {
    failed = `${error.stack}\n${complaints.join("\n")}`;
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
      failed += `\n--- ${page.url()}\n${await page.locator("body").innerText().catch(() => "")}`;
    }
  }
  await browser.close();
  console.log(failed ? `FAILED ${failed}` : "PASSED");
  process.exit(failed ? 1 : 0);
}
