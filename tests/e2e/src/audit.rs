//! What the apiserver wrote down of requests: who asked for what, and how it was answered.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::helm::{NAMESPACE, RELEASE};

/// One answered request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    user: User,
    /// The verb of authorization: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, ...
    pub verb: String,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Status>,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

/// A right as a role gives it and a request uses it: API group, resource with its subresource, verb.
pub type Right = (String, String, String);

impl Request {
    /// The requests of a user in an audit log.
    ///
    /// # Errors
    /// When the log cannot be read. Its last line may be half written and is then left out.
    pub fn of_user(log: &Path, user: &str) -> anyhow::Result<Vec<Self>> {
        let text = std::fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))?;
        let ours = text.lines().filter(|line| line.contains(user)).filter_map(|line| serde_json::from_str(line).ok());
        Ok(ours.filter(|request: &Self| request.user.username == user).collect())
    }

    /// Whether it was answered that its user may not do this.
    pub fn is_forbidden(&self) -> bool {
        self.response_status.as_ref().is_some_and(|status| status.code == 403)
    }

    /// The rights that it uses; none where it is about no resource. A patch that makes its object needs two.
    pub fn rights(&self) -> Vec<Right> {
        let Some(object) = self.object_ref.as_ref() else { return Vec::new() };
        let resource = match object.subresource.as_str() {
            "" => object.resource.clone(),
            subresource => format!("{}/{subresource}", object.resource),
        };
        let made = self.verb == "patch" && self.response_status.as_ref().is_some_and(|status| status.code == 201);
        let verbs = std::iter::once(self.verb.as_str()).chain(made.then_some("create"));
        verbs.map(|verb| (object.api_group.clone(), resource.clone(), verb.to_owned())).collect()
    }

    /// In words.
    pub fn said(&self) -> String {
        let object = self.object_ref.clone().unwrap_or_default();
        format!("{} {} {}/{} by {}", self.verb, object.resource, object.namespace, object.name, self.user.username)
    }
}

/// Every right that was used.
pub fn rights(requests: &[Request]) -> BTreeSet<Right> {
    requests.iter().flat_map(Request::rights).collect()
}

/// The user of one of the chart's service accounts.
pub fn user(component: &str) -> String {
    format!("system:serviceaccount:{NAMESPACE}:{RELEASE}-{component}")
}
