//! The errors of `SendEmail`, with the status and the words of each.

/// An error of the service model. Each of them means that the message was certainly not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SesError {
    /// The sending rate is exceeded (429).
    TooManyRequests,
    /// The daily quota is exceeded (400).
    LimitExceeded,
    /// The account may not send any more (400).
    AccountSuspended,
    /// Sending is paused, for the account or the configuration set (400).
    SendingPaused,
    /// The message is refused (400).
    MessageRejected,
    /// The custom MAIL FROM domain is not verified (400).
    MailFromDomainNotVerified,
    /// The input is invalid (400).
    BadRequest,
    /// Something the request names does not exist (404).
    NotFound,
}

impl SesError {
    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::TooManyRequests,
        Self::LimitExceeded,
        Self::AccountSuspended,
        Self::SendingPaused,
        Self::MessageRejected,
        Self::MailFromDomainNotVerified,
        Self::BadRequest,
        Self::NotFound,
    ];

    /// Its name, as `x-amzn-errortype` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyRequests => "TooManyRequestsException",
            Self::LimitExceeded => "LimitExceededException",
            Self::AccountSuspended => "AccountSuspendedException",
            Self::SendingPaused => "SendingPausedException",
            Self::MessageRejected => "MessageRejected",
            Self::MailFromDomainNotVerified => "MailFromDomainNotVerifiedException",
            Self::BadRequest => "BadRequestException",
            Self::NotFound => "NotFoundException",
        }
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TooManyRequests => 429,
            Self::NotFound => 404,
            _ => 400,
        }
    }

    fn usual_message(self) -> &'static str {
        match self {
            Self::TooManyRequests => "Maximum sending rate exceeded.",
            Self::LimitExceeded => "Daily message quota exceeded.",
            Self::AccountSuspended => "The account's ability to send email has been suspended.",
            Self::SendingPaused => "Email sending is disabled for this account.",
            Self::MessageRejected => "Email address is not verified.",
            Self::MailFromDomainNotVerified => "The MAIL FROM domain is not verified.",
            Self::BadRequest => "Invalid parameter value.",
            Self::NotFound => "The resource does not exist.",
        }
    }
}

/// Why a request is refused, as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error's name.
    pub error: &'static str,
    /// What it says.
    pub message: String,
}

impl From<SesError> for Refusal {
    fn from(error: SesError) -> Self {
        Self { status: error.status(), error: error.name(), message: error.usual_message().into() }
    }
}

impl Refusal {
    pub(super) fn new(error: SesError, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..error.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(SesError::BadRequest, message)
    }

    /// An error that any AWS service makes before it looks at the operation.
    pub(super) fn protocol(status: u16, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into() }
    }

    pub(super) fn body(&self) -> Vec<u8> {
        serde_json::json!({ "message": self.message }).to_string().into_bytes()
    }
}
