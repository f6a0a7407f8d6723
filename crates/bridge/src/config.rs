//! What the bridge needs to know, out of the environment; every problem at once, by variable name.

use std::{fmt, fs, net::SocketAddr, path::PathBuf, time::Duration};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use doorbell::{
    aws,
    config::{ConfigError, Reader, Variables},
};
use lapin::uri::{AMQPScheme, AMQPUri};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::{batch::Limits, topology::Kind};

/// Everything.
#[derive(Debug)]
pub struct BridgeConfig {
    /// The way to RabbitMQ.
    pub broker: BrokerConfig,
    /// The names of the queues.
    pub queues: Vec<String>,
    /// The way to the function.
    pub function: FunctionConfig,
    /// How batches are cut.
    pub limits: Limits,
    /// How long a batch waits for more.
    pub window: Duration,
    /// Invocations under way at once, for each queue.
    pub invocations: usize,
    /// Messages that may be unacknowledged, for each queue.
    pub prefetch: u16,
    /// What is done with messages that failed.
    pub retries: RetryConfig,
    /// Where `GET /health` is answered.
    pub health: Option<SocketAddr>,
    /// Time between two lines of progress.
    pub progress: Option<Duration>,
    /// How long a stop waits for what is under way.
    pub stop_timeout: Duration,
}

/// The way to RabbitMQ.
#[derive(Clone)]
pub struct BrokerConfig {
    /// Where, as whom, which virtual host.
    pub uri: AMQPUri,
    /// Whom to trust; `None`: the public authorities.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
}

impl BrokerConfig {
    /// `host:port`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    /// Whether the way is encrypted.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.uri.vhost, self.host())
    }
}

/// The way to the function.
#[derive(Debug, Clone)]
pub struct FunctionConfig {
    /// Its name or ARN.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Instead of AWS's own endpoint.
    pub endpoint_url: Option<String>,
    /// What speaks HTTP.
    pub http_client: SharedHttpClient,
    /// Bound of one invocation.
    pub timeout: Duration,
}

/// What is done with messages that failed.
#[derive(Debug, Clone)]
pub struct RetryConfig {
    /// After the first failure, the second, …; the last one for all others.
    pub delays: Vec<Duration>,
    /// The type of the queues that the bridge declares.
    pub kind: Kind,
    /// Whether it declares them at all.
    pub declare: bool,
}

/// A heartbeat that does not come is missed after twice this. lapin's own default is the server's, a minute.
const HEARTBEAT_S: u16 = 20;

/// RabbitMQ's own bound. Less, and a message with large headers could not be delivered; none, as a broker may propose,
/// and lapin would reserve room for 32 frames of 4 GB.
const FRAME_BYTES: u32 = 128 * 1024;

impl BridgeConfig {
    /// Reads the environment. No I/O but reading the files of certificates.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader::of(variables);
        let broker = broker(&mut reader);
        let queues = queues(&mut reader);
        let function = function(&mut reader);
        let size = reader.number("BATCH_SIZE", 100, 1, 10_000);
        let window = reader.number("BATCH_WINDOW_MS", 0, 0, 60_000);
        let invocations = reader.number("INVOCATIONS", 2, 1, 100);
        let prefetch = (size * (invocations + 1)).min(u64::from(u16::MAX));
        let prefetch = reader.number("PREFETCH", prefetch, 1, u16::MAX.into());
        let max_tries = reader.number("MAX_TRIES", 20, 1, 1_000);
        let retries = retries(&mut reader);
        let health = reader.parse("HEALTH_ADDRESS", "an address with a port, such as 127.0.0.1:8095");
        let progress = reader.number("PROGRESS_S", 60, 0, 86_400);
        let stop_timeout = reader.number("STOP_TIMEOUT_S", 90, 0, 3_600);
        let config = broker.zip(function).map(|(broker, function)| Self {
            broker,
            queues,
            function,
            limits: Limits { size: small(size), max_tries: u32::try_from(max_tries).unwrap_or(u32::MAX) },
            window: Duration::from_millis(window),
            invocations: small(invocations),
            prefetch: u16::try_from(prefetch).unwrap_or(u16::MAX),
            retries,
            health,
            progress: (progress > 0).then(|| Duration::from_secs(progress)),
            stop_timeout: Duration::from_secs(stop_timeout),
        });
        reader.finish_with(config)
    }
}

fn small(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn broker<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<BrokerConfig> {
    let url = reader.required("BROKER_URL", "amqp://user:password@host[:port]/vhost, or amqps://…")?;
    let uri = uri(&url);
    if uri.is_none() {
        // The text itself is not quoted: a password stands in it.
        reader.problem("BROKER_URL must be amqp://user:password@host[:port]/vhost, or amqps://…");
    }
    if uri.as_ref().is_some_and(|uri| uri.query.heartbeat == Some(0)) {
        reader.problem("BROKER_URL must not turn heartbeats off: a connection that nobody answers would be kept for ever");
    }
    let file = reader.text("BROKER_CA_FILE").map(PathBuf::from);
    let authorities = file.map(|path| authorities(&path));
    if let Some(Err(problem)) = &authorities {
        reader.problem(format!("BROKER_CA_FILE {problem}"));
    }
    Some(BrokerConfig { uri: uri?, authorities: authorities.transpose().ok()? })
}

fn uri(text: &str) -> Option<AMQPUri> {
    let mut uri: AMQPUri = text.parse().ok()?;
    let url = url::Url::parse(text).ok()?;
    // An address in brackets passes for none with the parser above, which then means the local machine.
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').clone_into(&mut uri.authority.host);
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
    uri.query.frame_max.get_or_insert(FRAME_BYTES);
    Some(uri)
}

fn authorities(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let pem = fs::read(path).map_err(|_| "cannot be read")?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| "is not a PEM file")?;
    if found.is_empty() { Err("holds no certificate") } else { Ok(found) }
}

/// `.retry.600s` and the like must still fit behind a name: RabbitMQ's are 255 bytes long at most.
const QUEUE_BYTES: usize = 230;

fn queues<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Vec<String> {
    let text = reader.required("QUEUES", "the names of the queues, separated by commas").unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if name.len() > QUEUE_BYTES {
            reader.problem(format!("QUEUES has a name of more than {QUEUE_BYTES} bytes: {name}"));
        }
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() && !text.is_empty() {
        reader.problem("QUEUES must name a queue");
    }
    names
}

fn function<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<FunctionConfig> {
    let name = reader.required("FUNCTION_NAME", "the name or the ARN of the Lambda function");
    let of_arn = name.as_deref().and_then(region_of_arn);
    let region = of_arn.or_else(|| reader.text("AWS_REGION")).or_else(|| reader.text("AWS_DEFAULT_REGION"));
    if region.is_none() {
        reader.problem(
            "AWS_REGION is not set: the function's region, such as eu-west-1, unless FUNCTION_NAME is an ARN",
        );
    }
    let endpoint_url = reader.endpoint("AWS_ENDPOINT_URL_LAMBDA");
    let timeout = reader.number("INVOKE_TIMEOUT_S", 90, 1, 900);
    let bundle = reader.text("AWS_CA_BUNDLE").map(PathBuf::from);
    let http_client = aws::http_client(bundle.as_deref())
        .map_err(|error| reader.problem(format!("AWS_CA_BUNDLE {error}")))
        .ok();
    Some(FunctionConfig {
        name: name?,
        region: region?,
        endpoint_url,
        http_client: http_client?,
        timeout: Duration::from_secs(timeout),
    })
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`
fn region_of_arn(name: &str) -> Option<String> {
    let mut parts = name.split(':');
    let is_one = parts.next() == Some("arn") && parts.next().is_some() && parts.next() == Some("lambda");
    parts.next().filter(|region| is_one && !region.is_empty()).map(ToOwned::to_owned)
}

fn retries<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> RetryConfig {
    const LONGEST: u64 = 86_400;
    let text = reader.text("RETRY_DELAYS_S").unwrap_or_else(|| "1,5,30,120,600".to_owned());
    let delays: Option<Vec<u64>> = text
        .split(',')
        .map(|part| part.trim().parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds)))
        .collect();
    let delays = delays.filter(|delays| delays.is_sorted() && delays.len() <= 20);
    if delays.is_none() {
        reader.problem("RETRY_DELAYS_S must be seconds from 1 to 86400, growing and separated by commas");
    }
    let delays = delays.unwrap_or_default().into_iter().map(Duration::from_secs).collect();
    let kind = reader.parse("RETRY_QUEUE_TYPE", "quorum or classic").unwrap_or(Kind::Quorum);
    let declare = match reader.text("DECLARE").as_deref() {
        None | Some("yes") => true,
        Some("no") => false,
        Some(_) => {
            reader.problem("DECLARE must be yes or no");
            true
        }
    };
    RetryConfig { delays, kind, declare }
}

#[cfg(test)]
mod tests;
