//! Builds over time as one HTML page that needs nothing else: no script, no font, no network.

use std::fmt::{self, Write as _};

use super::summary::{Summary, hit_rate, percent, result, short, to, well};
use super::{Record, Verdict};
use crate::progress::html::{self, Escaped, open, time_label, time_step};
use crate::progress::text::{bytes, duration};

const STYLE: &str = include_str!("page.css");
/// The charts' own units; they are as wide as the page.
const WIDTH: f64 = 1150.0;
const HEIGHT: f64 = 200.0;
/// Room for the numbers beside and for the dates below.
const LEFT: f64 = 50.0;
const BELOW: f64 = 20.0;
const ABOVE: f64 = 6.0;
/// The widest bar, so that two builds are not two walls.
const MOST_WIDE: f64 = 40.0;
/// A date takes so much of the axis.
const DATE: f64 = 110.0;

/// The page, for builds from the oldest to the newest. `title` says of what.
///
/// Readable in light and dark; a bar shows its build when it is pointed at. All texts are escaped,
/// and the page forbids scripts and requests to itself.
pub fn html(records: &[Record], title: &str) -> String {
    let mut page = String::new();
    write(&mut page, records, title).expect("writing into a string can not fail");
    page
}

fn write(page: &mut String, records: &[Record], title: &str) -> fmt::Result {
    open(page, title, "builds", STYLE)?;
    let summary = Summary::of(records);
    facts(page, &summary)?;
    if !records.is_empty() {
        writeln!(
            page,
            "<h2>duration <small>of each build; dashed: the median; red: did not succeed</small></h2>"
        )?;
        durations(page, records, &summary)?;
        writeln!(page, "<h2>cached <small>share of a build's steps</small></h2>")?;
        hit_rates(page, records)?;
        table(page, records)?;
    }
    page.push_str("</body>\n</html>\n");
    Ok(())
}

fn facts(page: &mut String, summary: &Summary) -> fmt::Result {
    let mut facts =
        vec![("builds", summary.builds.to_string()), ("succeeded", summary.succeeded.to_string())];
    facts.extend(summary.median_seconds.map(|seconds| ("median", duration(seconds))));
    facts.extend(summary.cache_hit_rate.map(|rate| ("cached", percent(rate))));
    html::facts(page, &facts)
}

fn durations(page: &mut String, records: &[Record], summary: &Summary) -> fmt::Result {
    let most = records.iter().map(|record| record.seconds).fold(0.1, f64::max);
    let step = time_step(most / 5.0);
    let top = (most / step).ceil() * step;
    let chart = Chart { records, top };
    let marks = (0..=10_u8).map(|n| f64::from(n) * step).take_while(|at| *at <= top * 1.001);
    chart.open(page, marks.map(|at| (at, time_label(at, step))), "Duration of each build")?;
    chart.bars(page, |record| {
        let class = if well(record) { "took" } else { "failed" };
        Some((class, record.seconds))
    })?;
    if let Some(median) = summary.median_seconds {
        let y = chart.y(median);
        writeln!(
            page,
            "<line class=\"median\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        )?;
    }
    page.push_str("</svg>\n");
    Ok(())
}

fn hit_rates(page: &mut String, records: &[Record]) -> fmt::Result {
    let chart = Chart { records, top: 1.0 };
    let marks = [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| (at, percent(at)));
    chart.open(page, marks, "Share of steps that were cached")?;
    chart.bars(page, |record| hit_rate(record).map(|rate| ("cached", rate)))?;
    page.push_str("</svg>\n");
    Ok(())
}

/// Bars over time, one a build, from 0 to `top`.
struct Chart<'a> {
    records: &'a [Record],
    top: f64,
}

impl Chart<'_> {
    fn y(&self, value: f64) -> f64 {
        let track = HEIGHT - BELOW - ABOVE;
        ABOVE + track * (1.0 - (value / self.top).clamp(0.0, 1.0))
    }

    /// The width of a build's place.
    fn place(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let builds = self.records.len().max(1) as f64;
        ((WIDTH - LEFT) / builds).min(MOST_WIDE * 1.25)
    }

    fn open(
        &self,
        page: &mut String,
        marks: impl IntoIterator<Item = (f64, String)>,
        label: &str,
    ) -> fmt::Result {
        writeln!(
            page,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            Escaped(label)
        )?;
        for (at, text) in marks {
            let y = self.y(at);
            writeln!(
                page,
                "<line class=\"line\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                Escaped(&text)
            )?;
        }
        let mut free = f64::MIN;
        for (index, record) in self.records.iter().enumerate() {
            let x = self.x(index);
            let date = began(record);
            let Some(date) = date.get(..16).filter(|_| x >= free && x + DATE <= WIDTH) else {
                continue;
            };
            free = x + DATE;
            let y = HEIGHT - 4.0;
            writeln!(
                page,
                "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
                Escaped(&date.replace('T', " "))
            )?;
        }
        Ok(())
    }

    fn x(&self, index: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let index = index as f64;
        LEFT + index * self.place()
    }

    fn bars<'r>(
        &'r self,
        page: &mut String,
        value: impl Fn(&'r Record) -> Option<(&'static str, f64)>,
    ) -> fmt::Result {
        let width = (self.place() * 0.8).max(1.0);
        for (index, record) in self.records.iter().enumerate() {
            let Some((class, value)) = value(record) else { continue };
            let (x, y) = (self.x(index), self.y(value));
            // Also nothing is something to point at.
            let height = (HEIGHT - BELOW - y).max(1.0);
            writeln!(
                page,
                "<g><title>{}</title><rect class=\"area\" x=\"{x:.1}\" y=\"0\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/></g>",
                Escaped(&about(record)),
                self.place(),
                HEIGHT - BELOW,
                HEIGHT - BELOW - height,
            )?;
        }
        Ok(())
    }
}

/// When a build began, to the second; UTC.
fn began(record: &Record) -> String {
    let at = record.at.map(|at| at.to_string()).unwrap_or_default();
    at.get(..19).unwrap_or_default().replace('T', " ")
}

/// A build in a few lines.
fn about(record: &Record) -> String {
    let at = began(record);
    let rate = hit_rate(record).map_or_else(|| "-".to_owned(), percent);
    format!(
        "{at}\n{} to {}\n{}, {rate} cached",
        result(record),
        to(record),
        duration(record.seconds)
    )
}

fn table(page: &mut String, records: &[Record]) -> fmt::Result {
    page.push_str(
        "<h2>builds</h2>\n<div class=\"table\"><table>\n<tr><th>began</th><th>environment</th>\
         <th>to</th><th class=\"number\">took</th><th class=\"number\">cached</th>\
         <th class=\"number\">run</th><th class=\"number\">new layers</th><th>stages that ran</th>\
         <th>commit</th><th>result</th></tr>\n",
    );
    for record in records.iter().rev() {
        let class = match record.verdict {
            Verdict::Succeeded => "",
            _ => " class=\"failed\"",
        };
        let stages: Vec<&str> = record
            .stages
            .iter()
            .filter(|stage| stage.run > 0)
            .map(|stage| stage.name.as_str())
            .collect();
        write!(page, "<tr{class}>")?;
        for (class, text) in [
            ("", began(record)),
            ("", record.environment.clone().unwrap_or_default()),
            ("", to(record).to_owned()),
            ("number", duration(record.seconds)),
            ("number", hit_rate(record).map(percent).unwrap_or_default()),
            ("number", record.run_steps.to_string()),
            ("number", record.new_bytes.or(record.pushed_bytes).map(bytes).unwrap_or_default()),
            ("long", stages.join(", ")),
            ("", record.commit.as_deref().map(short).unwrap_or_default()),
            ("", result(record)),
        ] {
            write!(page, "<td class=\"{class}\">{}</td>", Escaped(&text))?;
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::StageRecord;
    use crate::progress::Timestamp;

    fn record(hour: usize, seconds: f64) -> Record {
        Record {
            at: Timestamp::parse(&format!("2026-11-24T{hour:02}:00:00Z")),
            verdict: Verdict::Succeeded,
            environment: Some("<script>alert(1)</script>".into()),
            seconds,
            cached_steps: hour,
            run_steps: 24 - hour,
            stages: vec![StageRecord { name: "a&b".into(), run: 1, ..StageRecord::default() }],
            ..Record::default()
        }
    }

    #[test]
    fn the_page_has_every_build_and_nothing_that_runs() {
        let records: Vec<Record> = (0..24).map(|hour| record(hour, hour as f64)).collect();
        let page = html(&records, "app & more");
        assert_eq!(page.matches("class=\"took\"").count(), 24);
        assert_eq!(page.matches("<rect class=\"cached\"").count(), 24);
        assert_eq!(page.matches("<tr>").count(), 25);
        assert!(page.contains("app &amp; more") && page.contains("a&amp;b"));
        assert!(
            !page.contains("<script") && !page.contains("http://") && !page.contains("https://")
        );
        for nonsense in ["NaN", "inf", "=\"-"] {
            assert!(!page.contains(nonsense), "{nonsense}");
        }
    }

    #[test]
    fn few_builds_and_none_are_a_page_too() {
        for records in [Vec::new(), vec![record(1, 0.0)], vec![Record::default()]] {
            let page = html(&records, "app");
            assert!(page.ends_with("</html>\n") && !page.contains("NaN"), "{page}");
        }
        let failed = Record { verdict: Verdict::BuildFailed, ..record(3, 5.0) };
        assert!(html(&[failed], "app").contains("<rect class=\"failed\""));
    }
}
