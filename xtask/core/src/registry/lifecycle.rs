//! ECR's own lifecycle policies: what the rules of a repository would delete
//! that is in use. ECR does not know what ECS runs, so it can not tell.
//!
//! The evaluation follows the rules that AWS documents. All rules are
//! evaluated on all images; an image that meets the tag requirements of a rule
//! can only be expired by that rule or one of higher priority (a lower number),
//! but is still counted by the rules after it. An image that a manifest list
//! references goes only when all such lists go, and companions of an image go
//! with it.
//!
//! Source: Amazon ECR user guide, "Automate the cleanup of images by using lifecycle policies"
//! and "Lifecycle policy properties".

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::glob::Glob;
use super::graph::Graph;
use super::in_use::{InUse, User};
use super::repository::{Image, Repository};

const DAY: i64 = 86_400;

/// A repository's lifecycle policy, its rules by priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecyclePolicy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    rule_priority: u32,
    #[serde(default)]
    description: Option<String>,
    selection: Selection,
    action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    tag_status: TagStatus,
    #[serde(default)]
    tag_prefix_list: Vec<String>,
    #[serde(default)]
    tag_pattern_list: Vec<Glob>,
    #[serde(default)]
    storage_class: StorageClass,
    count_type: CountType,
    #[serde(default)]
    count_unit: Option<String>,
    count_number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum TagStatus {
    Tagged,
    Untagged,
    Any,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StorageClass {
    #[default]
    Standard,
    Archive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum CountType {
    ImageCountMoreThan,
    SinceImagePushed,
    SinceImagePulled,
    SinceImageTransitioned,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Action {
    #[serde(rename = "type")]
    kind: ActionKind,
}

/// What a rule does to an image. Neither leaves it ready to be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum ActionKind {
    /// It is deleted.
    Expire,
    /// It is moved to the archive and has to be restored before it is pulled.
    Transition,
}

/// A policy that can not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleError(String);

impl fmt::Display for LifecycleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lifecycle policy: {}", self.0)
    }
}

impl Error for LifecycleError {}

/// One image that a policy would take away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Expiry {
    /// Which.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// What would be done to it.
    pub action: ActionKind,
    /// Priority of the rule that does it.
    pub rule: u32,
    /// The rule's description.
    pub description: Option<String>,
    /// Who uses it now; empty when nobody does.
    pub users: Vec<User>,
    /// Whether it is in use, by these or as part of an index that is.
    pub in_use: bool,
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.action {
            ActionKind::Expire => "delete",
            ActionKind::Transition => "archive",
        };
        write!(f, "rule {} would {verb} {}", self.rule, self.digest.short())?;
        if !self.tags.is_empty() {
            write!(f, " ({})", self.tags.join(", "))?;
        }
        for (at, user) in self.users.iter().enumerate() {
            write!(f, "{} {user}", if at == 0 { ", used by" } else { "," })?;
        }
        if self.in_use && self.users.is_empty() {
            f.write_str(", part of an index that is in use")?;
        }
        Ok(())
    }
}

impl LifecyclePolicy {
    /// Reads a policy's JSON (`lifecyclePolicyText`) and checks what ECR checks
    /// as far as the outcome depends on it.
    ///
    /// # Errors
    /// When it is not such JSON, has a rule of a kind that is not known, or
    /// breaks one of ECR's rules about rules.
    pub fn parse(json: &str) -> Result<Self, LifecycleError> {
        #[derive(Deserialize)]
        struct Wire {
            rules: Vec<Rule>,
        }
        let Wire { mut rules } = serde_json::from_str(json)
            .map_err(|error| LifecycleError(format!("can not be read: {error}")))?;
        rules.sort_by_key(|rule| rule.rule_priority);
        for pair in rules.windows(2) {
            let priority = pair[1].rule_priority;
            if pair[0].rule_priority == priority {
                return Err(LifecycleError(format!("two rules have the priority {priority}")));
            }
            if pair[0].selection.tag_status == TagStatus::Any
                && pair[0].selection.storage_class == pair[1].selection.storage_class
            {
                return Err(LifecycleError(format!(
                    "rule {} has tagStatus any, so it must have the highest rulePriority",
                    pair[0].rule_priority
                )));
            }
        }
        rules.iter().try_for_each(Rule::check)?;
        Ok(Self { rules })
    }

    /// Finds what the policy would take away at `now`, in the order of digests, and tells what
    /// of it is in use. Manifests that were not read count as those of plain images.
    #[must_use]
    pub fn simulate(&self, repository: &Repository, in_use: &InUse, now: i64) -> Vec<Expiry> {
        let graph = Graph::new(repository);
        let images = repository.images();
        let mut by_rule = self.marked(images, now);
        spare_children_of_what_stays(&graph, &mut by_rule);
        add_companions(&graph, &mut by_rule);
        let needed = needed(&graph, images, in_use);
        images
            .iter()
            .zip(by_rule)
            .zip(needed)
            .filter_map(|((image, rule), needed)| Some((image, rule?, needed)))
            .map(|(image, rule, needed)| Expiry {
                digest: image.digest.clone(),
                tags: image.tags.clone(),
                action: rule.action.kind,
                rule: rule.rule_priority,
                description: rule.description.clone(),
                users: in_use.users(&image.digest).to_vec(),
                in_use: needed,
            })
            .collect()
    }

    /// The same, and only what is in use.
    #[must_use]
    pub fn takes_in_use(&self, repository: &Repository, in_use: &InUse, now: i64) -> Vec<Expiry> {
        let mut takes = self.simulate(repository, in_use, now);
        takes.retain(|expiry| expiry.in_use);
        takes
    }

    /// The rule that marks each image, before manifest lists are looked at.
    fn marked(&self, images: &[Image], now: i64) -> Vec<Option<&Rule>> {
        let mut claimed = vec![false; images.len()];
        let mut marked: Vec<Option<&Rule>> = vec![None; images.len()];
        for rule in &self.rules {
            let selected: Vec<usize> =
                (0..images.len()).filter(|&at| rule.selection.selects(&images[at])).collect();
            for at in rule.selection.exceeding(images, &selected, now) {
                if !claimed[at] {
                    marked[at] = Some(rule);
                }
            }
            for at in selected {
                claimed[at] = true;
            }
        }
        marked
    }
}

impl Rule {
    fn check(&self) -> Result<(), LifecycleError> {
        let Selection { tag_status, tag_prefix_list, tag_pattern_list, .. } = &self.selection;
        let lists =
            usize::from(!tag_prefix_list.is_empty()) + usize::from(!tag_pattern_list.is_empty());
        let counts = self.selection.count_type == CountType::ImageCountMoreThan;
        let problem = if *tag_status == TagStatus::Tagged && lists != 1 {
            "has tagStatus tagged and needs either tagPrefixList or tagPatternList"
        } else if *tag_status != TagStatus::Tagged && lists != 0 {
            "has a list of tags, which goes only with tagStatus tagged"
        } else if self.selection.count_number == 0 {
            "has a countNumber of 0; it must be at least 1"
        } else if !counts && self.selection.count_unit.as_deref() != Some("days") {
            "counts time and needs the countUnit days"
        } else if counts && self.selection.count_unit.is_some() {
            "has a countUnit, which goes only with a countType of time"
        } else {
            return Ok(());
        };
        Err(LifecycleError(format!("rule {} {problem}", self.rule_priority)))
    }
}

impl Selection {
    /// Whether an image meets the requirements on tags and storage. Every
    /// prefix or pattern of a list must match one of its tags.
    fn selects(&self, image: &Image) -> bool {
        let any = |matches: &dyn Fn(&str) -> bool| image.tags.iter().any(|tag| matches(tag));
        let tags = match self.tag_status {
            TagStatus::Any => true,
            TagStatus::Untagged => image.tags.is_empty(),
            TagStatus::Tagged => {
                self.tag_prefix_list.iter().all(|prefix| any(&|tag| tag.starts_with(prefix)))
                    && self.tag_pattern_list.iter().all(|glob| any(&|tag| glob.matches(tag)))
            }
        };
        tags && (self.storage_class == StorageClass::Archive) == image.archived_at.is_some()
    }

    /// Those of the selected images that are too many or too old.
    fn exceeding(&self, images: &[Image], selected: &[usize], now: i64) -> Vec<usize> {
        let limit = i64::from(self.count_number) * DAY;
        let older = |at: Option<i64>| at.is_some_and(|at| now.saturating_sub(at) > limit);
        let by_time = |time: &dyn Fn(&Image) -> Option<i64>| {
            selected.iter().copied().filter(|&at| older(time(&images[at]))).collect()
        };
        match self.count_type {
            CountType::ImageCountMoreThan => {
                let mut newest = selected.to_vec();
                newest.sort_by_key(|&at| std::cmp::Reverse(images[at].pushed_at));
                newest.into_iter().skip(self.count_number as usize).collect()
            }
            CountType::SinceImagePushed => by_time(&|image| image.pushed_at),
            CountType::SinceImagePulled => {
                by_time(&|image| image.last_pulled_at.max(image.activated_at).or(image.pushed_at))
            }
            CountType::SinceImageTransitioned => by_time(&|image| image.archived_at),
        }
    }
}

/// Whether each image is in use, by itself or as a child of something that is. Losing a
/// signature does not stop a task; losing a child does.
fn needed(graph: &Graph<'_>, images: &[Image], in_use: &InUse) -> Vec<bool> {
    let used = |image: &Image| !in_use.users(&image.digest).is_empty();
    let mut needed: Vec<bool> = images.iter().map(used).collect();
    let mut queue: Vec<usize> = (0..needed.len()).filter(|&at| needed[at]).collect();
    while let Some(at) = queue.pop() {
        for &child in graph.children(at) {
            if !std::mem::replace(&mut needed[child], true) {
                queue.push(child);
            }
        }
    }
    needed
}

/// Takes the mark from images that a list references which stays. Goes round,
/// as such an image may itself be a list.
fn spare_children_of_what_stays(graph: &Graph<'_>, by_rule: &mut [Option<&Rule>]) {
    let mut stays: Vec<usize> = (0..by_rule.len()).filter(|&at| by_rule[at].is_none()).collect();
    while let Some(at) = stays.pop() {
        for &child in graph.children(at) {
            if by_rule[child].take().is_some() {
                stays.push(child);
            }
        }
    }
}

/// Marks companions of what goes with the rule that takes their subject.
fn add_companions(graph: &Graph<'_>, by_rule: &mut [Option<&Rule>]) {
    let mut goes: Vec<usize> = (0..by_rule.len()).filter(|&at| by_rule[at].is_some()).collect();
    while let Some(at) = goes.pop() {
        for &companion in graph.referrers(at) {
            if by_rule[companion].is_none() {
                by_rule[companion] = by_rule[at];
                goes.push(companion);
            }
        }
    }
}

#[cfg(test)]
mod tests;
