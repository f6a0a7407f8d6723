//! `sendonce-bridge check`: looks at everything once, and says a sentence for each.

use std::{io::Write as _, process::ExitCode, time::Duration};

use tokio::time::timeout;

use crate::{
    broker::{Link, trouble},
    config::BridgeConfig,
    function::Function,
    topology::{NotThere, dead_queue, look_for, retry_queue},
};

/// Bound of one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Changes nothing. Ends with 0 when all is well, else with 1.
pub(crate) async fn run(config: &BridgeConfig) -> ExitCode {
    let mut good = true;
    let mut say = |result: Result<String, String>| {
        good &= result.is_ok();
        let (word, sentence) = match &result {
            Ok(sentence) => ("ok    ", sentence),
            Err(sentence) => ("WRONG ", sentence),
        };
        // Where nobody reads it, the exit code still says it.
        let _ = writeln!(std::io::stdout(), "{word}{sentence}");
    };
    say(Ok("the configuration can be read".to_owned()));
    match Link::open(&config.broker, "sendonce-bridge (check)").await {
        Ok(link) => {
            say(Ok(format!("{} lets the bridge into {}", config.broker.host(), config.broker.uri.vhost)));
            for queue in &config.queues {
                for sentence in of_queue(config, &link, queue).await {
                    say(sentence);
                }
            }
            link.close().await;
        }
        Err(reason) => say(Err(reason)),
    }
    let function = Function::new(&config.function).await;
    say(match function.dry_run().await {
        Ok(()) => Ok(format!("function {} may be invoked", function.name())),
        Err(trouble) => {
            let (kind, advice) = (trouble.kind, trouble.advice());
            Err(format!("function {}: {kind}: {advice} ({})", function.name(), trouble.detail))
        }
    });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn of_queue(config: &BridgeConfig, link: &Link, queue: &str) -> Vec<Result<String, String>> {
    let vhost = &config.broker.uri.vhost;
    match look(link, queue).await {
        Ok(()) => {}
        Err(error) => return vec![Err(trouble::queue(&error, vhost))],
    }
    let mut sentences = vec![Ok(format!("queue {queue} is there"))];
    let beside = config.retries.delays.iter().map(|delay| retry_queue(queue, *delay));
    for name in beside.chain([dead_queue(queue)]) {
        match look(link, &name).await {
            Ok(()) => sentences.push(Ok(format!("queue {name} is there"))),
            Err(_) if config.retries.declare => {
                sentences.push(Ok(format!("queue {name} will be declared at the start")));
            }
            Err(error) => sentences.push(Err(trouble::queue(&error, vhost))),
        }
    }
    sentences
}

/// On a channel of its own, since what is not there closes it.
async fn look(link: &Link, queue: &str) -> Result<(), NotThere> {
    let looked = timeout(ANSWER, async {
        let of = |error| NotThere { queue: queue.to_owned(), error };
        let channel = link.channel().await.map_err(of)?;
        look_for(&channel, queue).await?;
        channel.close(200, "looked".into()).await.map_err(of)
    });
    looked.await.unwrap_or_else(|_| {
        let error = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
        Err(NotThere { queue: queue.to_owned(), error })
    })
}
