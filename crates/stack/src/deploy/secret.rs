//! Secrets Manager, as whoever keeps and rotates a secret sees it.

use serde_json::Value;

use super::{Cloud, DeployError};

impl Cloud {
    /// Calls an action of Secrets Manager, such as `PutSecretValue`.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn secrets_manager(&self, action: &str, body: &Value) -> Result<Value, DeployError> {
        self.json(&format!("secretsmanager.{action}"), body).await?.json()
    }
}
