//! Who calls AWS, for the commands that talk to an account: credentials and region from where every AWS SDK looks for
//! them (variables, profile, web identity, container, instance).

use std::error::Error;
use std::path::PathBuf;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials as _;
use doorbell::aws::{AwsAccess, http_client};
use doorbell::config::{ProcessEnvironment, Reader};

type Failure = Box<dyn Error + Send + Sync>;

/// Access in this region, or in the one that the environment or the profile names, or else in `otherwise`.
///
/// # Errors
///
/// There is no region, or there are no credentials, or the CA bundle cannot be used.
pub(crate) async fn access(region: Option<String>, otherwise: Option<String>) -> Result<AwsAccess, Failure> {
    let ca_bundle = Reader::of(&ProcessEnvironment).text("AWS_CA_BUNDLE").map(PathBuf::from);
    let client = http_client(ca_bundle.as_deref()).map_err(|error| format!("AWS_CA_BUNDLE {error}"))?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    let found = loader.load().await;
    let region = found.region().map(ToString::to_string).or(otherwise);
    let region = region.ok_or("no region of AWS is known: say --region, or set AWS_REGION")?;
    let provider = found.credentials_provider().ok_or("nobody provides credentials of AWS")?;
    let credentials = provider.provide_credentials().await.map_err(|error| {
        format!(
            "there are no credentials of AWS (AWS_ACCESS_KEY_ID, a profile, a role): {}",
            crate::chain(&error)
        )
    })?;
    Ok(AwsAccess::new(region, credentials, ca_bundle.as_deref())?)
}

/// The region in a service's own address: `https://sqs.eu-west-1.amazonaws.com/…`.
pub(crate) fn region_of_url(url: &str) -> Option<String> {
    let host = url.split("://").nth(1)?.split('/').next()?;
    let (service, rest) = host.split_once('.')?;
    let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
    (service == "sqs" && !region.contains('.')).then(|| region.to_owned())
}

/// The region in an ARN: `arn:aws:lambda:eu-west-1:…`.
pub(crate) fn region_of_arn(arn: &str) -> Option<String> {
    let mut parts = arn.split(':');
    let region = (parts.next() == Some("arn")).then(|| parts.nth(2)).flatten()?;
    (!region.is_empty()).then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{region_of_arn, region_of_url};

    #[test]
    fn a_region_is_found_where_it_stands() {
        let url = "https://sqs.eu-west-1.amazonaws.com/111122223333/shop-urgent-dead";
        assert_eq!(region_of_url(url).as_deref(), Some("eu-west-1"));
        for url in ["http://127.0.0.1:4566/0/dead", "https://sqs.example/1/dead", "dead"] {
            assert_eq!(region_of_url(url), None, "{url}");
        }
        let arn = "arn:aws:lambda:eu-central-1:111122223333:function:shop-dispatch-sqs";
        assert_eq!(region_of_arn(arn).as_deref(), Some("eu-central-1"));
        assert_eq!(region_of_arn("shop-dispatch-sqs"), None);
    }
}
