//! Signed calls with raw bodies, through the SDK's own machinery.
//!
//! Two needs meet here. A task definition has to go from ECS and back to ECS without losing
//! a field that the SDK's types do not know. And the few calls to CloudFormation, CloudWatch
//! Logs, Secrets Manager, SSM and IAM are not worth half a minute of compile time a crate. Credentials,
//! signing, retries with back-off, time-outs and connections are the SDK's: only the bodies
//! are ours.

mod endpoint;

use std::fmt;

use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, TransientErrorClassifier,
};
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::SigningName;
use aws_types::region::{Region, SigningRegion};
use serde_json::Value;

/// A service that is called with raw bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon ECS, for task definitions.
    Ecs,
    /// CloudWatch Logs.
    Logs,
    /// AWS Secrets Manager.
    SecretsManager,
    /// AWS Systems Manager, for its Parameter Store.
    Ssm,
    /// AWS CloudFormation.
    CloudFormation,
    /// AWS Identity and Access Management.
    Iam,
}

impl Service {
    /// The signing name, which is also the endpoint's first label.
    fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Logs => "logs",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
            Self::CloudFormation => "cloudformation",
            Self::Iam => "iam",
        }
    }

    /// The name by which settings of one service alone are found.
    ///
    /// Source: the AWS SDKs and Tools reference guide, "Service-specific endpoints".
    fn id(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::Logs => "CloudWatch Logs",
            Self::SecretsManager => "Secrets Manager",
            Self::Ssm => "SSM",
            Self::CloudFormation => "CloudFormation",
            Self::Iam => "IAM",
        }
    }

    /// What precedes the operation in `x-amz-target`.
    fn target_prefix(self) -> &'static str {
        match self {
            Self::Ecs => "AmazonEC2ContainerServiceV20141113",
            Self::Logs => "Logs_20140328",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "AmazonSSM",
            Self::CloudFormation | Self::Iam => "",
        }
    }

    /// The version of the Query protocol's operations.
    fn version(self) -> &'static str {
        match self {
            Self::CloudFormation => "2010-05-15",
            Self::Iam => "2010-05-08",
            Self::Ecs | Self::Logs | Self::SecretsManager | Self::Ssm => "",
        }
    }

    /// The region that a call is signed for. IAM has one a partition.
    ///
    /// Source: the AWS General Reference, "AWS Identity and Access Management endpoints".
    fn signing_region(self, region: &Region) -> Region {
        let of_iam = match region.as_ref() {
            cn if cn.starts_with("cn-") => "cn-north-1",
            gov if gov.starts_with("us-gov-") => "us-gov-west-1",
            _ => "us-east-1",
        };
        if self == Self::Iam { Region::from_static(of_iam) } else { region.clone() }
    }
}

/// An error that AWS answered with.
#[derive(Debug)]
pub struct WireError(ErrorMetadata);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0.code().unwrap_or("unknown error");
        match self.0.message() {
            Some(message) => write!(f, "{code}: {message}"),
            None => f.write_str(code),
        }
    }
}

impl std::error::Error for WireError {}

impl ProvideErrorMetadata for WireError {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// What a call can end with besides its answer.
pub type CallError = SdkError<WireError, HttpResponse>;

/// The error code that AWS answered with, where it answered with one.
pub fn code(error: &CallError) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Calls an operation of a service that speaks JSON 1.1.
///
/// # Errors
/// What AWS answered, or why it could not be reached; after the SDK's retries.
pub async fn json(
    config: &SdkConfig,
    service: Service,
    operation: &'static str,
    body: &Value,
) -> Result<Value, CallError> {
    let target = format!("{}.{operation}", service.target_prefix());
    let request = Request {
        content_type: "application/x-amz-json-1.1",
        target: Some(target),
        body: body.to_string(),
    };
    let text = call(config, service, operation, request, json_error).await?;
    serde_json::from_str(&text)
        .map_err(|error| SdkError::construction_failure(format!("{operation}: {error}")))
}

/// Calls an operation of a service that takes a form and answers with XML.
///
/// # Errors
/// As [`json`].
pub async fn query(
    config: &SdkConfig,
    service: Service,
    operation: &'static str,
    parameters: &[(String, String)],
) -> Result<String, CallError> {
    let mut body = format!("Action={operation}&Version={}", service.version());
    for (name, value) in parameters {
        body.push('&');
        body.push_str(&percent_encode(name));
        body.push('=');
        body.push_str(&percent_encode(value));
    }
    let request = Request { content_type: "application/x-www-form-urlencoded", target: None, body };
    call(config, service, operation, request, xml_error).await
}

#[derive(Clone)]
struct Request {
    content_type: &'static str,
    target: Option<String>,
    body: String,
}

// A request's body can hold a secret's value.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("target", &self.target).finish_non_exhaustive()
    }
}

async fn call(
    config: &SdkConfig,
    service: Service,
    operation: &'static str,
    request: Request,
    read_error: fn(&str) -> ErrorMetadata,
) -> Result<String, CallError> {
    let missing = |what: &str| SdkError::construction_failure(format!("no {what} is configured"));
    let region = config.region().cloned().ok_or_else(|| missing("region"))?;
    let http = config.http_client().ok_or_else(|| missing("HTTP client"))?;
    let credentials = config.credentials_provider().ok_or_else(|| missing("credentials"))?;
    let sleep = config.sleep_impl().ok_or_else(|| missing("timer"))?;
    let url = endpoint::endpoint(config, service, &region);

    let mut layer = Layer::new("signing");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(service.signing_region(&region))),
        name: Some(SigningName::from_static(service.name())),
        ..Default::default()
    });
    let signing = StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(
        RuntimeComponentsBuilder::new("signing")
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
                SCHEME_ID,
            ])))
            .with_identity_resolver(SCHEME_ID, credentials),
    );

    Operation::builder()
        .service_name(service.name())
        .operation_name(operation)
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(&url)
        .standard_retry(config.retry_config().unwrap_or(&RetryConfig::standard()))
        .retry_classifier(AwsErrorCodeClassifier::<WireError>::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .retry_classifier(TransientErrorClassifier::<WireError>::new())
        .timeout_config(config.timeout_config().cloned().unwrap_or(TimeoutConfig::disabled()))
        .sleep_impl(sleep)
        .time_source(aws_smithy_async::time::SystemTimeSource::new())
        .with_connection_poisoning()
        .runtime_plugin(signing)
        .serializer(move |request: Request| {
            let mut http = HttpRequest::new(SdkBody::from(request.body));
            http.set_method("POST")?;
            http.set_uri("/")?;
            http.headers_mut().insert("content-type", request.content_type);
            if let Some(target) = request.target {
                http.headers_mut().insert("x-amz-target", target);
            }
            Ok(http)
        })
        .deserializer(move |response: &HttpResponse| {
            let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
            if response.status().is_success() {
                Ok(text.into_owned())
            } else {
                Err(OrchestratorError::operation(WireError(read_error(&text))))
            }
        })
        .build()
        .invoke(request)
        .await
}

fn json_error(text: &str) -> ErrorMetadata {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let of = |names: [&str; 3]| names.iter().find_map(|name| body.get(*name)?.as_str());
    let mut meta = ErrorMetadata::builder();
    if let Some(code) = of(["__type", "code", "Code"]) {
        // Some services prefix the code with a namespace, some add a URL.
        let code = code.rsplit('#').next().unwrap_or(code);
        meta = meta.code(code.split(':').next().unwrap_or(code));
    }
    if let Some(message) = of(["message", "Message", "errorMessage"]) {
        meta = meta.message(message);
    }
    meta.build()
}

fn xml_error(text: &str) -> ErrorMetadata {
    let mut meta = ErrorMetadata::builder();
    if let Ok(document) = roxmltree::Document::parse(text) {
        let text_of =
            |name: &str| document.descendants().find(|node| node.tag_name().name() == name)?.text();
        if let Some(code) = text_of("Code") {
            meta = meta.code(code);
        }
        if let Some(message) = text_of("Message") {
            meta = meta.message(message);
        }
    }
    meta.build()
}

/// Encodes for `application/x-www-form-urlencoded`: everything but unreserved characters.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_errors_of_both_protocols() {
        let meta = json_error(
            r#"{"__type":"com.amazonaws.ecs#ClusterNotFoundException:http://x","message":"m"}"#,
        );
        assert_eq!((meta.code(), meta.message()), (Some("ClusterNotFoundException"), Some("m")));
        let meta = xml_error(
            "<ErrorResponse><Error><Code>ValidationError</Code><Message>a &lt; b</Message></Error></ErrorResponse>",
        );
        assert_eq!((meta.code(), meta.message()), (Some("ValidationError"), Some("a < b")));
        assert_eq!(json_error("<html>").code(), None);
        assert_eq!(xml_error("not xml").code(), None);
    }

    #[test]
    fn form_values_survive() {
        assert_eq!(percent_encode("a b&c=d\né~"), "a%20b%26c%3Dd%0A%C3%A9~");
    }
}
