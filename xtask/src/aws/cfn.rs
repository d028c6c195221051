//! CloudFormation's answers, read from their XML.
//!
//! Source: the AWS CloudFormation API reference.

use std::collections::HashSet;

use anyhow::Result;
use roxmltree::{Document, Node};

use super::wire::{self, CallError, Service};
use super::{Aws, explain};
use xtask_core::plan::infra::Change;

/// A stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// `StackStatus`, such as `CREATE_COMPLETE`.
    pub status: String,
    /// Its outputs, in the order in which CloudFormation lists them.
    pub outputs: Vec<(String, String)>,
    /// Its parameters.
    pub parameters: Vec<(String, String)>,
}

impl Stack {
    /// An output by its key.
    pub fn output(&self, key: &str) -> Option<&str> {
        self.outputs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// A change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSet {
    /// `Status`, such as `CREATE_COMPLETE`.
    pub status: String,
    /// Why, where it failed.
    pub reason: String,
    /// What it would do.
    pub changes: Vec<Change>,
}

/// A resource of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its type.
    pub kind: String,
    /// What the service that has it calls it: its physical id.
    pub id: String,
}

/// An event of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackEvent {
    /// Its id.
    pub id: String,
    /// The resource's logical id.
    pub resource: String,
    /// The resource's type.
    pub kind: String,
    /// The resource's status.
    pub status: String,
    /// Why, where it failed.
    pub reason: String,
}

/// Calls an operation; the parameters' names are CloudFormation's.
///
/// # Errors
/// What CloudFormation answered, or why it can not be reached.
pub async fn call(
    aws: &Aws,
    operation: &'static str,
    parameters: &[(&str, &str)],
) -> Result<String, CallError> {
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    wire::query(&aws.config, Service::CloudFormation, operation, &parameters).await
}

/// A stack by its name; `None` when it is not there.
///
/// # Errors
/// CloudFormation can not be asked.
pub async fn stack(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    match call(aws, "DescribeStacks", &[("StackName", name)]).await {
        Ok(xml) => Ok(read(&xml, |root| {
            let found = members(root, "Stacks").next()?;
            Some(Stack {
                status: text(found, "StackStatus"),
                outputs: pairs(found, "Outputs", "OutputKey", "OutputValue"),
                parameters: pairs(found, "Parameters", "ParameterKey", "ParameterValue"),
            })
        })?),
        // For a stack that does not exist CloudFormation has only a general error.
        Err(error) if error.as_service_error().is_some_and(is_missing) => Ok(None),
        Err(error) => Err(explain("cloudformation:DescribeStacks", &error)),
    }
}

fn is_missing(error: &wire::WireError) -> bool {
    use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
    error.code() == Some("ValidationError")
        && error.message().is_some_and(|message| message.contains("does not exist"))
}

/// A change set of a stack.
///
/// # Errors
/// CloudFormation can not be asked.
pub async fn change_set(aws: &Aws, stack: &str, name: &str) -> Result<ChangeSet> {
    let mut found = ChangeSet { status: String::new(), reason: String::new(), changes: Vec::new() };
    let mut next = String::new();
    loop {
        let mut parameters = vec![("StackName", stack), ("ChangeSetName", name)];
        if !next.is_empty() {
            parameters.push(("NextToken", &next));
        }
        let xml = call(aws, "DescribeChangeSet", &parameters)
            .await
            .map_err(|error| explain("cloudformation:DescribeChangeSet", &error))?;
        let token = read(&xml, |root| {
            let result = result(root);
            found.status = text(result, "Status");
            found.reason = text(result, "StatusReason");
            found.changes.extend(members(result, "Changes").map(change));
            text(result, "NextToken")
        })?;
        if token.is_empty() {
            return Ok(found);
        }
        next = token;
    }
}

fn change(member: Node<'_, '_>) -> Change {
    let resource = child(member, "ResourceChange").unwrap_or(member);
    Change {
        action: text(resource, "Action"),
        resource: text(resource, "LogicalResourceId"),
        kind: text(resource, "ResourceType"),
        replacement: text(resource, "Replacement"),
    }
}

/// The events of a stack that are not in `seen`, oldest first. They are added to it.
///
/// # Errors
/// CloudFormation can not be asked.
pub async fn new_events(
    aws: &Aws,
    stack: &str,
    seen: &mut HashSet<String>,
) -> Result<Vec<StackEvent>> {
    let mut new = Vec::new();
    let mut next = String::new();
    loop {
        let mut parameters = vec![("StackName", stack)];
        if !next.is_empty() {
            parameters.push(("NextToken", &next));
        }
        let xml = call(aws, "DescribeStackEvents", &parameters)
            .await
            .map_err(|error| explain("cloudformation:DescribeStackEvents", &error))?;
        let (page, token) = read(&xml, events_page)?;
        // The newest come first: behind one that is known, all are.
        let known = page.iter().any(|event| seen.contains(&event.id));
        new.extend(page.into_iter().filter(|event| !seen.contains(&event.id)));
        if known || token.is_empty() {
            break;
        }
        next = token;
    }
    seen.extend(new.iter().map(|event| event.id.clone()));
    new.reverse();
    Ok(new)
}

/// The resources of a stack; none when it is not there.
///
/// # Errors
/// CloudFormation can not be asked.
pub async fn resources(aws: &Aws, stack: &str) -> Result<Vec<Resource>> {
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let mut parameters = vec![("StackName", stack)];
        if !next.is_empty() {
            parameters.push(("NextToken", &next));
        }
        let xml = match call(aws, "ListStackResources", &parameters).await {
            Err(error) if error.as_service_error().is_some_and(is_missing) => return Ok(found),
            answer => {
                answer.map_err(|error| explain("cloudformation:ListStackResources", &error))?
            }
        };
        let (page, token) = read(&xml, resources_page)?;
        found.extend(page);
        if token.is_empty() {
            return Ok(found);
        }
        next = token;
    }
}

fn resources_page(root: Node<'_, '_>) -> (Vec<Resource>, String) {
    let resources = members(root, "StackResourceSummaries").map(|resource| Resource {
        kind: text(resource, "ResourceType"),
        id: text(resource, "PhysicalResourceId"),
    });
    (resources.collect(), text(result(root), "NextToken"))
}

fn events_page(root: Node<'_, '_>) -> (Vec<StackEvent>, String) {
    let events = members(root, "StackEvents").map(|event| StackEvent {
        id: text(event, "EventId"),
        resource: text(event, "LogicalResourceId"),
        kind: text(event, "ResourceType"),
        status: text(event, "ResourceStatus"),
        reason: text(event, "ResourceStatusReason"),
    });
    (events.collect(), text(result(root), "NextToken"))
}

/// The element that holds an answer's fields.
fn result<'a, 'i>(root: Node<'a, 'i>) -> Node<'a, 'i> {
    root.children().find(|n| n.tag_name().name().ends_with("Result")).unwrap_or(root)
}

fn read<T>(xml: &str, extract: impl FnOnce(Node<'_, '_>) -> T) -> Result<T> {
    let document = Document::parse(xml)
        .map_err(|error| anyhow::anyhow!("CloudFormation's answer is not XML: {error}"))?;
    Ok(extract(document.root_element()))
}

/// The `member` elements of a list.
fn members<'a, 'i>(
    node: Node<'a, 'i>,
    list: &str,
) -> impl Iterator<Item = Node<'a, 'i>> + use<'a, 'i> {
    let list = node.descendants().find(|n| n.tag_name().name() == list);
    list.into_iter().flat_map(|list| list.children().filter(Node::is_element))
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|n| n.tag_name().name() == name)
}

fn text(node: Node<'_, '_>, name: &str) -> String {
    child(node, name).and_then(|n| n.text()).unwrap_or_default().to_owned()
}

fn pairs(node: Node<'_, '_>, list: &str, key: &str, value: &str) -> Vec<(String, String)> {
    members(node, list).map(|member| (text(member, key), text(member, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events_and_the_token_of_the_next_page() {
        let xml = "<R><DescribeStackEventsResult><StackEvents><member><EventId>1</EventId>\
            <LogicalResourceId>Vpc</LogicalResourceId><ResourceType>AWS::EC2::VPC</ResourceType>\
            <ResourceStatus>CREATE_FAILED</ResourceStatus><ResourceStatusReason>a &lt; b\
            </ResourceStatusReason></member></StackEvents><NextToken>t</NextToken>\
            </DescribeStackEventsResult></R>";
        let (events, token) = read(xml, events_page).unwrap();
        assert_eq!(token, "t");
        assert_eq!((events[0].resource.as_str(), events[0].reason.as_str()), ("Vpc", "a < b"));
    }

    #[test]
    fn reads_outputs_and_parameters() {
        let xml = "<R xmlns=\"http://c/\"><DescribeStacksResult><Stacks><member>\
            <StackStatus>CREATE_COMPLETE</StackStatus><Outputs><member><OutputKey>Url</OutputKey>\
            <OutputValue>http://x/?a&amp;b</OutputValue></member></Outputs></member></Stacks>\
            </DescribeStacksResult></R>";
        let outputs = read(xml, |root| {
            members(root, "Stacks").map(|s| pairs(s, "Outputs", "OutputKey", "OutputValue")).next()
        });
        assert_eq!(outputs.unwrap().unwrap(), [("Url".to_owned(), "http://x/?a&b".to_owned())]);
    }
}
