//! What an account may do: its state, its sending rate, its quota.

use std::{collections::BTreeSet, time::Instant};

use super::{
    address,
    recorded::Recorded,
    refusal::{Refusal, SesError},
};

/// The state of the account that the stand-in plays.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) paused: bool,
    pub(super) suspended: bool,
    pub(super) mail_from_unverified: bool,
    /// Addresses and domains that may be written to; `None` outside the sandbox.
    pub(super) sandbox: Option<BTreeSet<String>>,
    /// Addresses and domains that may be written from; `None`: all.
    pub(super) senders: Option<BTreeSet<String>>,
    /// Configuration sets that exist; `None`: all.
    pub(super) configuration_sets: Option<BTreeSet<String>>,
    pub(super) quota: Option<Quota>,
    pub(super) rate: Option<Bucket>,
}

/// A daily quota, in recipients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) limit: usize,
    pub(super) used: usize,
}

/// A token bucket that holds one second's worth of recipients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn full(per_second: f64, now: Instant) -> Self {
        Self { per_second, tokens: per_second.max(1.0), filled: now }
    }

    /// Takes `count` tokens if they are there. A message with more recipients than a second's worth is let
    /// through when the bucket is full, and paid for afterwards; otherwise it could never be sent.
    fn take(&mut self, count: usize, now: Instant) -> bool {
        let capacity = self.per_second.max(1.0);
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second).min(capacity);
        self.filled = now;
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let is_enough = self.tokens >= count.min(capacity);
        if is_enough {
            self.tokens -= count;
        }
        is_enough
    }
}

impl Account {
    /// Lets a valid message pass, or says why not. What passes is counted.
    pub(super) fn admit(&mut self, request: &Recorded, now: Instant) -> Result<(), Refusal> {
        if self.suspended {
            return Err(SesError::AccountSuspended.into());
        }
        if self.paused {
            return Err(SesError::SendingPaused.into());
        }
        if let (Some(sets), Some(name)) = (&self.configuration_sets, &request.configuration_set)
            && !sets.contains(name)
        {
            let message = format!("Configuration set <{name}> does not exist.");
            return Err(Refusal::new(SesError::NotFound, message));
        }
        self.check_identities(request)?;
        if self.mail_from_unverified {
            return Err(SesError::MailFromDomainNotVerified.into());
        }
        let recipients = request.message.recipients().count();
        if self.quota.is_some_and(|quota| quota.used + recipients > quota.limit) {
            return Err(SesError::LimitExceeded.into());
        }
        if self.rate.as_mut().is_some_and(|bucket| !bucket.take(recipients, now)) {
            return Err(SesError::TooManyRequests.into());
        }
        if let Some(quota) = &mut self.quota {
            quota.used += recipients;
        }
        Ok(())
    }

    fn check_identities(&self, request: &Recorded) -> Result<(), Refusal> {
        let sender = request.message.from.as_deref().and_then(|from| address::bare(from).ok());
        let sender = sender.map(str::to_lowercase);
        let failed = |verified: &Option<BTreeSet<String>>, addresses: Vec<String>| -> Vec<String> {
            let Some(verified) = verified else { return Vec::new() };
            addresses.into_iter().filter(|address| !is_verified(verified, address)).collect()
        };
        let mut unverified = failed(&self.senders, sender.into_iter().collect());
        unverified.extend(failed(&self.sandbox, request.message.addresses()));
        if unverified.is_empty() {
            return Ok(());
        }
        let message = format!(
            "Email address is not verified. The following identities failed the check in region {}: {}",
            request.region.to_uppercase(),
            unverified.join(", ")
        );
        Err(Refusal::new(SesError::MessageRejected, message))
    }
}

fn is_verified(verified: &BTreeSet<String>, address: &str) -> bool {
    verified.contains(address)
        || address.rsplit_once('@').is_some_and(|(_, domain)| {
            // A verified domain covers its subdomains.
            let mut rest = Some(domain);
            std::iter::from_fn(|| {
                let this = rest?;
                rest = this.split_once('.').map(|(_, parent)| parent);
                Some(this)
            })
            .any(|domain| verified.contains(domain))
        })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Bucket, is_verified};

    #[test]
    fn a_bucket_holds_one_second() {
        let start = Instant::now();
        let mut bucket = Bucket::full(10.0, start);
        assert!(bucket.take(6, start));
        assert!(bucket.take(4, start));
        assert!(!bucket.take(1, start));
        assert!(!bucket.take(2, start + Duration::from_millis(150)));
        assert!(bucket.take(2, start + Duration::from_millis(210)));
        // Ten seconds fill it with one second's worth; a message larger than that passes, and is paid for.
        assert!(bucket.take(15, start + Duration::from_secs(10)));
        assert!(!bucket.take(1, start + Duration::from_millis(10_590)));
        assert!(bucket.take(1, start + Duration::from_millis(10_610)));
    }

    #[test]
    fn a_verified_domain_covers_subdomains() {
        let verified = ["shop.example".to_owned(), "ada@b.example".to_owned()].into();
        assert!(is_verified(&verified, "x@mail.shop.example"));
        assert!(is_verified(&verified, "ada@b.example"));
        assert!(!is_verified(&verified, "eve@b.example"));
        assert!(!is_verified(&verified, "x@othershop.example"));
    }
}
