//! The report as Markdown, for the job summary of GitHub Actions.

use super::{DeployReport, ServiceReport, human_millis};
use crate::observe::ecs::revision;
use crate::ui::{fenced, human_seconds};

impl DeployReport {
    /// The verdict first, then why, then what was changed and where the time went.
    pub(super) fn markdown(&self) -> String {
        let mut parts = vec![format!("### {}: {}", self.environment, self.verdict)];
        parts.extend(self.error.iter().map(|error| fenced("text", error)));
        parts.extend(self.hint.iter().map(|hint| format!("**Hint:** {}", cell(hint))));
        parts.extend(self.image.iter().map(|image| format!("Image `{}`", cell(image))));
        if !self.services.is_empty() {
            let head = "| service | revision | rollout | provision | pull | start | health | drain (apart) |\n\
                        |---|---|---|---|---|---|---|---|";
            let rows = self.services.iter().map(row);
            parts.push([head.to_owned()].into_iter().chain(rows).collect::<Vec<_>>().join("\n"));
        }
        let times = [
            ("build", self.build_seconds),
            ("push", self.push_seconds),
            ("cache export", self.cache_export_seconds),
        ];
        let times = times.into_iter().filter_map(|(what, seconds)| {
            seconds.map(|seconds| format!("{what} {}", human_seconds(seconds)))
        });
        let mut facts: Vec<String> = times.collect();
        facts.extend(self.health.iter().map(|health| {
            format!("health {} after {}", health.status, human_seconds(health.seconds))
        }));
        if !facts.is_empty() {
            parts.push(facts.join(", "));
        }
        for service in self.services.iter().filter(|service| !service.differences.is_empty()) {
            let lines = service.differences.iter().map(ToString::to_string);
            let lines = lines.collect::<Vec<_>>().join("\n");
            parts.push(format!(
                "Changed in {}:\n\n{}",
                cell(&service.name),
                fenced("diff", &lines)
            ));
        }
        parts.join("\n\n") + "\n"
    }
}

fn row(service: &ServiceReport) -> String {
    let (before, now) = (revision(&service.previous), revision(&service.task_definition));
    let change = if before == now { now.to_owned() } else { format!("{before} → {now}") };
    let rollout = match (&service.verdict, &service.deployment) {
        (Some(verdict), _) => verdict.to_string(),
        (None, Some(_)) => "no verdict".to_owned(),
        (None, None) => "unchanged".to_owned(),
    };
    let phases = service.phases.unwrap_or_default();
    let phases = [phases.provision, phases.pull, phases.start, phases.health];
    let phases = phases.map(|phase| phase.map(|phase| human_millis(phase.slowest)));
    let drain = service.draining.map(|draining| match draining.left {
        0 => human_millis(draining.took),
        left => format!("{}, {left} left", human_millis(draining.took)),
    });
    let times = phases.into_iter().chain([drain]).map(Option::unwrap_or_default);
    let cells = [service.name.clone(), change, rollout].into_iter().chain(times);
    let cells: Vec<_> = cells.map(|text| cell(&text)).collect();
    format!("| {} |", cells.join(" | "))
}

/// Text that stays in its place: no line break, no column, no markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('`', "'").replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::HealthAnswer;
    use xtask_core::plan::diff::Difference;
    use xtask_core::rollout::{Draining, PhaseTimes, Verdict};

    fn report() -> DeployReport {
        let arn = |revision: u32| format!("arn:aws:ecs:r:1:task-definition/app:{revision}");
        let service = ServiceReport {
            name: "web".into(),
            previous: arn(7),
            task_definition: arn(8),
            deployment: Some("ecs-svc/1".into()),
            differences: vec![Difference {
                path: "containers.app.image".into(),
                before: Some("r/app@sha256:a".into()),
                after: Some("r/app@sha256:b".into()),
            }],
            verdict: Some(Verdict::Succeeded { running: 2 }),
            phases: Some(PhaseTimes::default()),
            draining: Some(Draining { took: 31_000, left: 1 }),
        };
        DeployReport {
            environment: "production".into(),
            verdict: "succeeded",
            exit_code: 0,
            image: Some("r/app@sha256:b".into()),
            digest: Some("sha256:b".into()),
            build_seconds: Some(12.4),
            push_seconds: Some(3.0),
            cache_export_seconds: None,
            services: vec![service],
            health: Some(HealthAnswer { url: "u".into(), status: 200, seconds: 0.2, tries: 1 }),
            error: None,
            hint: None,
        }
    }

    #[test]
    fn a_deploy_that_went_well() {
        let expected = "\
### production: succeeded

Image `r/app@sha256:b`

| service | revision | rollout | provision | pull | start | health | drain (apart) |
|---|---|---|---|---|---|---|---|
| web | app:7 → app:8 | succeeded, 2 running |  |  |  |  | 31 s, 1 left |

build 12 s, push 3.0 s, health 200 after 0.2 s

Changed in web:

```diff
~ containers.app.image  r/app@sha256:a → r/app@sha256:b
```
";
        assert_eq!(report().markdown(), expected);
    }

    #[test]
    fn a_failure_says_why_right_after_the_verdict_and_can_not_break_out() {
        let mut report = report();
        report.verdict = "rolled-back";
        report.error = Some("web: task failed | ```\n<script>".into());
        report.hint = Some("mend | <b>it</b>".into());
        report.services[0].verdict =
            Some(Verdict::RolledBack { to: None, reason: "a | b\nc".into() });
        let markdown = report.markdown();
        let begin = "### production: rolled-back\n\n````text\nweb: task failed | ```\n<script>\n````\n\n\
                     **Hint:** mend \\| &lt;b>it&lt;/b>\n\n";
        assert!(markdown.starts_with(begin), "{markdown}");
        assert!(markdown.contains("| rolled back: a \\| b c |"), "{markdown}");
    }
}
