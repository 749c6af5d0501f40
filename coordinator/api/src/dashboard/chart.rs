//! Charts as SVG, drawn by the server: they need no script.

use ledger::{Run, Throughput};
use maud::{Markup, html};
use model::human::{count, millis};

use super::parts::run_word;
use crate::time;

const WIDTH: u64 = 720;
const HEIGHT: u64 = 120;
/// Bars at most.
const BARS: u64 = 60;
/// Widths of a bar in milliseconds.
const STEPS: [u64; 12] = [
    1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 21_600_000,
];

/// Milliseconds of a bar, so that a span fits.
pub(super) fn width_of(span_ms: i64) -> u64 {
    let span = u64::try_from(span_ms).unwrap_or(0);
    STEPS.into_iter().find(|step| span / step < BARS).unwrap_or(span / BARS + 1)
}

/// Rows a second over the time of a run.
pub(super) fn throughput(spans: &[Throughput], from_ms: i64, to_ms: i64, width_ms: u64) -> Markup {
    let width = i64::try_from(width_ms).unwrap_or(i64::MAX);
    let first = from_ms - from_ms.rem_euclid(width);
    let bars = u64::try_from((to_ms - first) / width + 1).unwrap_or(1).clamp(1, 4 * BARS);
    let rate = |span: &Throughput| span.rows.saturating_mul(1_000) / width_ms.max(1);
    let top = spans.iter().map(rate).max().unwrap_or(0).max(1);
    let bar = WIDTH / bars.max(12);
    let place = |span: &Throughput| {
        let at = u64::try_from((span.from_ms - first) / width).unwrap_or(0);
        let height = (rate(span) * HEIGHT).div_ceil(top).max(1);
        (at * bar, HEIGHT - height, height)
    };
    html! {
        figure.chart {
            figcaption { "Rows read a second" span.faint { " · most " (count(top)) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label={ "Rows read a second over time, at most " (count(top)) } {
                line.grid x1="0" x2=(WIDTH) y1="0.5" y2="0.5" {}
                line.grid x1="0" x2=(WIDTH) y1=(HEIGHT / 2) y2=(HEIGHT / 2) {}
                line.grid x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                @for span in spans {
                    @let (x, y, height) = place(span);
                    rect.rate x=(x) y=(y) width=(bar.saturating_sub(1).max(1)) height=(height) {
                        title { (time::seconds(span.from_ms).unwrap_or_default()) ": " (count(rate(span))) " rows/s" }
                    }
                }
            }
            div.axis { span { "0" } span { (millis(i64::try_from(bars * width_ms).unwrap_or(0))) } }
        }
    }
}

/// The last runs of a pipeline, oldest first: as high as they took long.
pub(super) fn history(runs: &[Run], now_ms: i64) -> Markup {
    let length = |run: &Run| u64::try_from(run.ended_ms.unwrap_or(now_ms) - run.created_ms).unwrap_or(0);
    let longest = runs.iter().map(length).max().unwrap_or(0).max(1);
    let height = |run: &Run| 4 + length(run) * 20 / longest;
    html! {
        svg.history viewBox={ "0 0 " (runs.len().max(12) * 8) " 24" } role="group"
            aria-label={ "The last " (runs.len()) " runs" } {
            @for (at, run) in runs.iter().rev().enumerate() {
                @let word = run_word(run);
                a href={ "/runs/" (run.id) } {
                    rect class=(word) x=(at * 8) y=(24 - height(run)) width="6" height=(height(run)) rx="1" {
                        title { (word) ", " (time::seconds(run.created_ms).unwrap_or_default()) ", "
                            (millis(run.ended_ms.unwrap_or(now_ms) - run.created_ms)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_any_length_fits() {
        for span in [-5, 0, 999, 59_999, 60_000, 3_600_000, 86_400_000, 30 * 86_400_000, i64::MAX / 2] {
            let width = width_of(span);
            assert!(u64::try_from(span).unwrap_or(0) / width <= BARS, "{span}: {width}");
        }
        let spans = [Throughput { from_ms: 10_000, rows: 500 }, Throughput { from_ms: 12_000, rows: 0 }];
        let chart = throughput(&spans, 10_500, 13_000, 1_000).into_string();
        assert!(chart.contains("most 500") && chart.matches("<rect").count() == 2, "{chart}");
    }
}
