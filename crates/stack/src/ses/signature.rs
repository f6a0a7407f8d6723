//! The form of a request's signature. Whether it is right cannot be known without the secret.

use super::refusal::Refusal;
use crate::http1::Request;

/// Checks that a request is signed with signature version 4; says for which region.
pub(super) fn check(request: &Request) -> Result<String, Refusal> {
    let Some(authorization) = request.header("authorization") else {
        return Err(Refusal::protocol(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    };
    let incomplete = |what: &str| Refusal::protocol(400, "IncompleteSignatureException", what);
    let rest = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or_else(|| incomplete("Unsupported AWS 'algorithm'"))?;
    let part = |name: &str| {
        let found = rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
    };
    let date = request.header("x-amz-date").ok_or_else(|| incomplete("'X-Amz-Date' header is missing"))?;
    if !is_date_time(date) {
        return Err(incomplete("Date must be in ISO-8601 'basic format'"));
    }
    let credential: Vec<&str> = part("Credential")?.split('/').collect();
    let [key, day, region, "ses", "aws4_request"] = credential[..] else {
        return Err(incomplete("Credential should be scoped to a valid region and service 'ses'"));
    };
    if key.is_empty() || region.is_empty() || day != &date[..8] {
        return Err(incomplete("Credential should be scoped with the request's date"));
    }
    let signed: Vec<&str> = part("SignedHeaders")?.split(';').collect();
    if !signed.is_sorted() || !["host", "x-amz-date"].iter().all(|name| signed.contains(name)) {
        return Err(incomplete("'Host' and 'X-Amz-Date' must be signed, in order"));
    }
    if let Some(absent) = signed.iter().find(|name| request.header_count(name) == 0) {
        return Err(incomplete(&format!("signed header '{absent}' is not in the request")));
    }
    let signature = part("Signature")?;
    let is_hex = signature.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if signature.len() != 64 || !is_hex {
        return Err(incomplete("The request signature does not conform to AWS standards"));
    }
    Ok(region.to_owned())
}

/// `20261123T164304Z`.
fn is_date_time(date: &str) -> bool {
    let bytes = date.as_bytes();
    bytes.len() == 16
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}
