// The page of a table of 10,000 chunks is there, and heeds a person, within a second.
import { base, check, open, picture, scene } from "./browser.mjs";

await scene(async (browser) => {
  const page = await open(browser);
  // The first page of a browser pays for the browser.
  await page.goto(`${base}/workers`);
  for (const path of [`/runs/${process.env.SYNCLINE_RUN}`, `/runs/${process.env.SYNCLINE_RUN}/tables/0`]) {
    const began = Date.now();
    await page.goto(base + path);
    await page.locator("h1").waitFor();
    if (path.endsWith("tables/0")) await page.waitForFunction(() => document.getElementById("heat").height > 150);
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn))));
    const took = Date.now() - began;
    console.log(`${path.replace(/run_\w+/, "RUN")}: ${took} ms`);
    check(took < 1000, `${path} took ${took} ms`);
  }
  // A cell leads to its chunk.
  await picture(page, "cells");
  await page.mouse.move(0, 0);
  await page.locator("#heat").hover({ position: { x: 3, y: 3 } });
  check(/copy 0: done/.test(await page.locator("#heat-note").innerText()), "a cell says what it is");
  await page.locator("#heat").click({ position: { x: 3, y: 3 } });
  await page.waitForURL(/\/chunks\//);
});
