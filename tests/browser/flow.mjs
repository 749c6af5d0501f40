// What an operator does on a bad day: logs in, starts a pipeline, watches, loses workers, retries what they left, pauses.
import { ask, base, check, logIn, open, picture, scene } from "./browser.mjs";

const { SYNCLINE_OPERATOR: operator, SYNCLINE_VIEWER: viewer } = process.env;

/** The number in a tile. */
const tile = (page, name) => page.locator(".tile").filter({ has: page.locator(".name", { hasText: name }) }).locator(".figure");

await scene(async (browser) => {
  const page = await open(browser);
  await page.goto(`${base}/pipelines`);
  check(page.url().includes("/login?to="), "strangers are led to the log-in");
  page.expected = /401/;
  await page.getByLabel("Token").fill("syn_00000000_wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  page.expected = null;
  await page.getByLabel("Token").fill(operator);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Pipelines" }).waitFor();
  const cookie = (await page.context().cookies()).find((known) => known.name === "syncline");
  check(cookie.httpOnly && cookie.sameSite === "Lax", "the cookie is out of reach of scripts and of other sites");

  // Start.
  await page.getByRole("link", { name: "test", exact: true }).click();
  await page.getByRole("button", { name: "Run now" }).click();
  await page.waitForURL(/\/runs\/run_/);
  const run = page.url();
  await page.locator("h1 .state", { hasText: "running" }).waitFor();

  // Nobody works: the overview says so.
  const overview = await page.context().newPage();
  await overview.goto(`${base}/`);
  await overview.getByText("Nobody works").waitFor();

  // Watch live: no page is loaded again, and the figures move.
  await page.evaluate(() => { window.same = true; });
  await ask("worker");
  await page.waitForFunction(() => Number(document.querySelectorAll(".tile .figure")[1].textContent.replace(",", "")) > 0);
  check(await page.evaluate(() => window.same), "the page was not loaded again");
  await overview.getByText("Nothing needs you").waitFor();

  // The workers die, one after the other, at the same chunk: others take over, and at last it is set aside.
  await ask("deaths");
  await page.getByRole("heading", { name: "Chunks set aside" }).waitFor();
  await picture(page, "run");
  await page.getByRole("link", { name: /table 0, copy/ }).first().click();
  await page.getByRole("heading", { name: /^Chunk/ }).waitFor();
  check(await page.locator(".timeline .state", { hasText: "lost" }).count() === 3, "three attempts were lost");
  const workers = await page.locator(".timeline li .faint").allInnerTexts();
  check(new Set(workers.map((text) => text.split(",")[0])).size === 3, `each by another worker: ${workers}`);
  await picture(page, "chunk");

  // Retry it.
  await page.getByRole("button", { name: "Retry" }).click();
  await page.locator("h1 .state", { hasText: "ready" }).waitFor();
  await ask("healthy-worker");
  await page.locator("h1 .state", { hasText: "done" }).waitFor();
  await page.goto(run);
  await page.locator("h1 .state", { hasText: /done$/ }).waitFor();

  // Pause, resume, another interval.
  await page.goto(`${base}/pipelines/test`);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator("h1 .state", { hasText: "paused" }).waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator("h1 .state", { hasText: "scheduled" }).waitFor();
  await page.getByLabel("Every").fill("7200");
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByText("every 2 h (set here)").waitFor();
  await picture(page, "pipeline");

  // Send the worker home.
  await page.goto(`${base}/workers`);
  await page.getByRole("button", { name: "Drain" }).first().click();
  await page.locator("tbody .state", { hasText: /draining|left/ }).first().waitFor();

  // The server goes and comes back: the page says so, and goes on.
  await page.goto(`${base}/`);
  await page.locator("#link", { hasText: "live" }).waitFor();
  for (const one of [page, overview]) one.expected = /net::ERR_/;
  await ask("stop-serve");
  await page.locator("#link.lost").waitFor();
  await ask("start-serve");
  await page.locator("#link", { hasText: "live" }).waitFor();
  check(await tile(page, "Workers").innerText() !== "", "the page still shows what it knows");
  for (const one of [page, overview]) one.expected = null;

  // Log out; who may only look sees no command, and a forged one is refused.
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await overview.close();
  await logIn(page, viewer);
  await page.goto(`${base}/pipelines/test`);
  await page.getByRole("heading", { name: "test" }).waitFor();
  check(await page.getByRole("button", { name: "Run now" }).count() === 0, "a viewer has no commands");
  const forged = await page.request.post(`${base}/pipelines/test/trigger`);
  check(forged.status() === 403, `a viewer may command nothing: ${forged.status()}`);

  // An operator's cookie alone commands nothing either: the form of our own page is needed.
  const other = await open(browser);
  await logIn(other, operator);
  const without = await other.request.post(`${base}/pipelines/test/trigger`);
  check(without.status() === 403, `without our form: ${without.status()}`);
});
