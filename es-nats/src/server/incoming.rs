//! From a message to a request.

use std::borrow::Cow;

use async_nats::Message;
use es_core::{Error, MethodInfo, Request, Result, Tenant};

use super::worker::Rules;
use crate::{escape, headers, subject};

/// The request of a message to an endpoint of this method.
///
/// # Errors
/// What is wrong with its subject or a header; its handler must not run.
pub(super) fn request(message: &Message, method: &MethodInfo, route: &str, rules: &Rules) -> Result<Request> {
    let read = message.headers.as_ref().map(headers::read).transpose()?.unwrap_or_default();
    let tenant = match subject::tenant_token(&message.subject, route) {
        Some(token) => Some(named(token, read.tenant)?),
        None => believed(read.tenant, rules)?,
    };
    let mut request = Request::new(method.service, method.name, message.payload.to_vec());
    request.message_type = if read.message_type == method.input {
        Cow::Borrowed(method.input)
    } else {
        Cow::Owned(read.message_type.to_owned())
    };
    request.command_id = read.command_id;
    request.metadata = read.metadata;
    request.metadata.tenant = tenant;
    Ok(request)
}

/// The tenant of a subject; a header may repeat it and not change it.
fn named(token: &str, header: Option<&str>) -> Result<Tenant> {
    let name = escape::text(token).ok_or_else(|| Error::InvalidId {
        what: "tenant",
        why: format!("`{token}` in the subject is not escaped: every byte but letters, digits, `-` and `_` is `%XX`"),
    })?;
    if header.is_some_and(|header| header != name) {
        return Err(invalid("the header Tenant-ID names another tenant than the subject"));
    }
    Tenant::new(name)
}

/// The tenant of a header. Where it is not believed, the request is refused: carried out without a tenant, it would do
/// something else than was asked.
fn believed(header: Option<&str>, rules: &Rules) -> Result<Option<Tenant>> {
    let Some(header) = header else { return Ok(None) };
    if !rules.trust_tenant_header {
        return Err(invalid(
            "the header Tenant-ID is not believed here: send to `tenant.{tenant}.{package}.{Service}.{Method}`",
        ));
    }
    let tenant = Tenant::new(header)?;
    if !rules.tenants.is_empty() && !rules.tenants.contains(&tenant) {
        return Err(invalid("the tenant of the header Tenant-ID is not served here"));
    }
    Ok(Some(tenant))
}

fn invalid(why: &str) -> Error {
    Error::InvalidRequest { why: why.into() }
}
