//! Whom a connection logs in as, when the URL does not say: the port behind which users and passwords come and go.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Instant};

/// A user and the password that goes with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password, or whatever the server takes for one.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// An answer that may take a call to another service.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Knows whom to log in as. Asked at every connect; what it can keep, it keeps itself.
pub trait LoginSource: fmt::Debug + Send + Sync {
    /// The login to try, known before `deadline`.
    fn login(&self, deadline: Instant) -> Pending<'_, Result<Arc<Login>, NoLogin>>;

    /// The login to try instead of one that the server has refused; `None`: there is no other.
    fn instead_of<'a>(
        &'a self,
        refused: &'a Login,
        deadline: Instant,
    ) -> Pending<'a, Result<Option<Arc<Login>>, NoLogin>>;
}

/// There is nobody to log in as. Says why, and quotes nothing secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoLogin(Box<dyn Error + Send + Sync>);

impl NoLogin {
    /// For this reason.
    pub fn because(reason: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(reason))
    }
}
