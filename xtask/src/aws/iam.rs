//! IAM roles, read from their XML.
//!
//! Source: the AWS IAM API reference, `GetRole`.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use serde_json::Value;

use super::Aws;
use super::wire::{self, CallError, Service};

/// The trust policy of a role by its name; `None` when there is no such role.
///
/// # Errors
/// IAM can not be asked, or answers with something else.
pub async fn trust_policy(aws: &Aws, role: &str) -> Result<Option<Value>, CallError> {
    let parameters = [("RoleName".to_owned(), role.to_owned())];
    match wire::query(&aws.config, Service::Iam, "GetRole", &parameters).await {
        Ok(xml) => read(&xml).map(Some).ok_or_else(|| {
            SdkError::construction_failure("GetRole answered without a policy that can be read")
        }),
        Err(error) if error.code() == Some("NoSuchEntity") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The policy stands in the XML as JSON, percent-encoded.
fn read(xml: &str) -> Option<Value> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let name = "AssumeRolePolicyDocument";
    let policy = document.descendants().find(|node| node.tag_name().name() == name)?.text()?;
    serde_json::from_slice(&percent_decode(policy)).ok()
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let decoded = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match decoded.filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_decoded() {
        let xml = "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
            <GetRoleResult><Role><AssumeRolePolicyDocument>%7B%22Statement%22%3A%5B%22100%25%22%5D%7D\
            </AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>";
        assert_eq!(read(xml).unwrap(), serde_json::json!({ "Statement": ["100%"] }));
        assert_eq!(read("<a/>"), None);
        assert_eq!(percent_decode("%zz%4"), b"%zz%4");
    }
}
