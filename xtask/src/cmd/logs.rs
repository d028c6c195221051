//! `cargo xtask logs`

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::aws::{self, Aws};
use crate::cli::service::LogsArgs;
use crate::observe::beside::beside;
use crate::observe::ecs::{ServiceFacts, services};
use crate::observe::logs::{Line, Source, read, sources};
use crate::ui::Ui;
use xtask_core::config::Config;
use xtask_core::exit::{Exit, Failure};
use xtask_core::units::parse_duration;

/// How long between two looks. CloudWatch Logs answers `FilterLogEvents` five times a second
/// for a whole account (service quotas).
const PAUSE: Duration = Duration::from_secs(2);

/// How far each look goes back behind the newest line: CloudWatch Logs takes lines in late.
const OVERLAP: i64 = 30_000;

/// Shows what the services' containers logged, a line a line; and goes on with that until it
/// is interrupted, where that is wanted.
///
/// # Errors
/// There is no such service, it does not log to CloudWatch Logs, or that can not be asked.
pub async fn run(ui: &Ui, config: &Config, args: &LogsArgs) -> Result<Exit> {
    let environment = config.environment()?;
    let since = parse_duration(&args.since)
        .map_err(|error| Failure::new(Exit::Usage, format!("--since: {error}")))?;
    let aws = aws::connect(environment).await;
    let found = services(&aws, environment).await?;
    let mut logs = Vec::new();
    for service in chosen(&found, args.service.as_deref())? {
        logs.extend(sources(service, args.container.as_deref())?);
    }
    let mut from = millis_before(since)?;
    let mut shown = HashSet::new();
    loop {
        let lines = look(&aws, &logs, from, args.task.as_deref()).await?;
        // Those of before the overlap will not come again.
        let mut seen = HashSet::new();
        for line in lines {
            from = from.max(line.at - OVERLAP);
            if !shown.contains(&line.id) && !ui.record(&line, || text(&line))? {
                return Ok(Exit::Success);
            }
            seen.insert(line.id);
        }
        if !args.follow {
            return Ok(Exit::Success);
        }
        shown = seen;
        tokio::time::sleep(PAUSE).await;
    }
}

fn chosen<'a>(services: &'a [ServiceFacts], wanted: Option<&str>) -> Result<Vec<&'a ServiceFacts>> {
    let found: Vec<_> =
        services.iter().filter(|s| wanted.is_none_or(|wanted| s.name == wanted)).collect();
    if found.is_empty() {
        let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
        let what = format!("--service: no service `{}`", wanted.unwrap_or_default());
        let hint = format!("the environment's `services` are: {}", names.join(", "));
        return Err(Failure::new(Exit::Usage, what).hint(hint).into());
    }
    Ok(found)
}

/// The lines of every log in the order in which they were logged.
async fn look(aws: &Aws, logs: &[Source], from: i64, task: Option<&str>) -> Result<Vec<Line>> {
    let reads = logs.iter().cloned().map(|source| {
        let (aws, task) = (aws.clone(), task.map(str::to_owned));
        async move { read(&aws, &source, from, task.as_deref()).await }
    });
    let mut lines: Vec<Line> = beside(reads).await?.into_iter().flatten().collect();
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

fn millis_before(since: Duration) -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(now.saturating_sub(since).as_millis()).unwrap_or(i64::MAX))
}

fn text(line: &Line) -> String {
    // Enough of a task's id to tell it from its neighbours.
    let task: String = line.task.chars().take(8).collect();
    format!("{} {}/{task} {}", line.time, line.container, line.message)
}
