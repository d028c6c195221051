//! The log groups that containers write to. ECS does not create one unless it is told to, and
//! a task whose log group is missing does not start.

use std::collections::BTreeSet;

use serde_json::json;

use super::check::Check;
use super::start::{Answer, in_time, not_known, summary};
use crate::aws::wire::{self, Service};
use crate::aws::{Aws, explain, in_region};
use crate::observe::beside::all_beside;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::needs::{LogGroup, Needs};

const WHAT: &str = "log groups";

/// Looks for the log groups.
pub(super) async fn checks(aws: &Aws, needs: &[Needs]) -> Vec<Check> {
    let groups: BTreeSet<LogGroup> =
        needs.iter().flat_map(|needs| &needs.log_groups).cloned().collect();
    let calls = groups.into_iter().map(|group| {
        let config = in_region(&aws.config, group.region.as_deref());
        async move {
            let thing = format!("the log group `{}`", group.name);
            let answer = async {
                // The group of this very name comes first.
                let body = json!({ "logGroupNamePrefix": group.name });
                match wire::json(&config, Service::Logs, "DescribeLogGroups", &body).await {
                    Ok(found) => {
                        let mut names = found["logGroups"].as_array().into_iter().flatten();
                        match names.any(|found| found["logGroupName"] == group.name.as_str()) {
                            true => Answer::There,
                            false => missing(&thing, &group),
                        }
                    }
                    Err(error) => {
                        not_known(WHAT, &thing, &explain("logs:DescribeLogGroups", &error))
                    }
                }
            };
            in_time(WHAT, &thing, answer).await
        }
    });
    let there = |count| match count {
        1 => "1 is there".to_owned(),
        count => format!("{count} are there"),
    };
    summary(WHAT, there, all_beside(calls.collect::<Vec<_>>()).await)
}

fn missing(thing: &str, group: &LogGroup) -> Answer {
    let region = group.region.as_ref().map(|region| format!(" --region {region}"));
    let text = format!("{thing} is not there, and no task starts without it");
    let fix = format!(
        "create it: `aws logs create-log-group --log-group-name {}{}`; or set the log option \
         `awslogs-create-group` in the task definition",
        group.name,
        region.unwrap_or_default()
    );
    Answer::Told(Check::wrong(WHAT, Failure::new(Exit::Prerequisite, text).hint(fix)))
}
