//! The subjects that methods are called on.

use es_core::Tenant;

use crate::escape;

/// `{package}.{Service}.{Method}`, and with a tenant `tenant.{tenant}.{package}.{Service}.{Method}`.
pub(crate) fn of(tenant: Option<&Tenant>, service: &str, method: &str) -> String {
    match tenant {
        Some(tenant) => format!("tenant.{}.{service}.{method}", escape::token(tenant.as_str())),
        // Of the size it has in the end, so that it is a subject without being copied.
        None => [service, ".", method].concat(),
    }
}

/// The subject of a method for all tenants.
pub(crate) fn of_any_tenant(service: &str, method: &str) -> String {
    format!("tenant.*.{service}.{method}")
}

/// The token of the tenant in a subject of the method; `None` on the one without.
pub(crate) fn tenant_token<'s>(subject: &'s str, route: &str) -> Option<&'s str> {
    subject.strip_prefix("tenant.")?.strip_suffix(route)?.strip_suffix('.')
}

/// Whether there is a subject that both patterns match.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_token_and_comes_back() {
        let tenant = Tenant::new("a.b*>").unwrap();
        let subject = of(Some(&tenant), "bank.v1.Accounts", "Deposit");
        assert_eq!(subject, "tenant.a%2Eb%2A%3E.bank.v1.Accounts.Deposit");
        let token = tenant_token(&subject, "bank.v1.Accounts.Deposit").unwrap();
        assert_eq!(escape::text(token).as_deref(), Some("a.b*>"));
        assert_eq!(tenant_token("bank.v1.Accounts.Deposit", "bank.v1.Accounts.Deposit"), None);
    }

    #[test]
    fn patterns_overlap_where_one_subject_matches_both() {
        let route = "bank.v1.Accounts.Deposit";
        assert!(overlap(route, route));
        assert!(overlap("tenant.*.s.M", "tenant.acme.s.M"));
        assert!(overlap("tenant.>", "tenant.acme.s.M"));
        assert!(!overlap("tenant.acme.s.M", "tenant.other.s.M"));
        assert!(!overlap("tenant.acme.s.M", "s.M"));
        assert!(!overlap("s.M", "s.M.N"));
    }
}
