// Every screen, light and dark, wide and narrow: nothing runs over the edge, nothing in a name or a value is more than text,
// and whoever sees badly or uses no mouse gets on. With scripts off, pages still show and command.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { base, check, open, picture, scene } from "./browser.mjs";

const run = process.env.SYNCLINE_RUN;
const chunk = process.env.SYNCLINE_CHUNK;
const hostile = process.env.SYNCLINE_HOSTILE;
const screens = {
  overview: "/",
  pipelines: "/pipelines",
  pipeline: "/pipelines/test",
  runs: "/runs",
  run: `/runs/${run}`,
  table: `/runs/${run}/tables/0`,
  chunk: `/chunks/${chunk}`,
  quarantine: `/runs/${run}/quarantine`,
  conflicts: `/runs/${run}/conflicts`,
  workers: "/workers",
  queue: "/queue",
  connections: "/connections",
  security: "/security",
};

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What keeps people out, by the rules of WCAG 2 A and AA. */
async function barriers(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
}

await scene(async (browser) => {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1600, 1280, 390, 360]) {
      const page = await open(browser, { colorScheme, viewport: { width, height: width < 400 ? 844 : 800 } });
      for (const [name, path] of Object.entries(screens)) {
        await page.goto(base + path);
        await page.locator("h1").waitFor();
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        check(over <= 0, `${name} at ${width} px runs over the edge by ${over} px`);
        if (width === 1280 || width === 390) await picture(page, `${name}-${colorScheme}-${width}`);
        if (width === 1280) {
          const told = await barriers(page);
          check(told.length === 0, `${name} ${colorScheme} is not accessible: ${told.join("\n")}`);
        }
      }
      await page.context().close();
    }
  }
  const page = await open(browser);
  await page.goto(base + screens.run);
  check((await page.locator("main").innerText()).includes(hostile), "a hostile name is shown as it is");
  check(await page.locator("main img, main script").count() === 0, "and is nothing but text");

  // By keys: down the list, and in.
  await page.goto(base + screens.runs);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/runs\/run_/);

  // Without scripts.
  const plain = await open(browser, { javaScriptEnabled: false });
  await plain.goto(`${base}/pipelines/test`);
  await plain.getByRole("button", { name: "Pause" }).click();
  await plain.getByRole("button", { name: "Resume" }).waitFor();
});
