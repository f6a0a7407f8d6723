//! What the API answers when it does not answer with a function's response.

use serde_json::json;

/// The largest payload of a synchronous invocation: 6 MB.
pub(super) const SYNCHRONOUS_LIMIT: usize = 6 * 1024 * 1024;

/// The largest payload of an `Event` invocation: 1 MB.
pub(super) const EVENT_LIMIT: usize = 1024 * 1024;

/// A request id in the look of Lambda's, for what no environment has given one.
pub(super) fn request_id() -> String {
    let digits = format!("{:032x}", fastrand::u128(..));
    let part = |from: usize, to: usize| &digits[from..to];
    format!("{}-{}-4{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// An error of the service.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// Empty where the service names none.
    pub(super) kind: &'static str,
    pub(super) body: String,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, message: &str) -> Self {
        Self { status, kind, body: json!({ "Type": "User", "message": message }).to_string() }
    }

    pub(super) fn unsigned() -> Self {
        Self::new(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    }

    pub(super) fn no_such_operation() -> Self {
        Self::new(404, "UnknownOperationException", "Unable to determine service/operation name")
    }

    pub(super) fn no_such_function(name: &str) -> Self {
        let message = format!("Function not found: arn:aws:lambda:eu-west-1:111122223333:function:{name}");
        // With a capital letter, as this one error has it.
        let body = json!({ "Type": "User", "Message": message }).to_string();
        Self { status: 404, kind: "ResourceNotFoundException", body }
    }

    pub(super) fn too_large(bytes: usize, invocation: &str, limit: usize) -> Self {
        let message = format!(
            "{bytes} byte payload is too large for the {invocation} invocation type (limit {limit} bytes)"
        );
        Self::new(413, "RequestTooLargeException", &message)
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let message = format!("Could not parse request body into json: {error}");
        Self::new(400, "InvalidRequestContentException", &message)
    }

    pub(super) fn no_such_type(name: &str) -> Self {
        Self::new(400, "InvalidParameterValueException", &format!("Unknown invocation type {name}"))
    }

    pub(super) fn throttled() -> Self {
        let body = json!({
            "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
            "Type": "User",
            "message": "Rate Exceeded.",
        });
        Self { status: 429, kind: "TooManyRequestsException", body: body.to_string() }
    }

    /// The error that comes with a status when it is the service that fails.
    pub(super) fn of_status(status: u16) -> Self {
        let (kind, message) = match status {
            429 => return Self::throttled(),
            403 => ("AccessDeniedException", "not authorized to perform: lambda:InvokeFunction"),
            500 => ("ServiceException", "An error occurred and the request cannot be processed."),
            502 => ("EC2UnexpectedException", "An unexpected error occurred."),
            503 => ("ServiceUnavailableException", "Service Unavailable"),
            // From what stands before the service, which names no error.
            _ => ("", "refused"),
        };
        let body = json!({ "Type": "Service", "message": message }).to_string();
        Self { status, kind, body }
    }
}
