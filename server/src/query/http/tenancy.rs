//! Whose request it is, and what it may see.

use axum::http::HeaderMap;
use sarsen_block::Matcher;

use crate::net::Subject;

/// How tenants are told apart.
#[derive(Debug, Clone)]
pub(crate) struct Tenancy {
    /// The header with the tenant.
    pub(crate) header: String,
    /// Who asks without that header.
    pub(crate) default: String,
    /// The part of the caller's certificate that is the tenant; then the header does not matter.
    pub(crate) certificate: Option<CertificateField>,
    /// The label that says whose series it is, if nobody may see those of others.
    pub(crate) label: Option<String>,
}

/// A part of the subject of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateField {
    Organization,
    OrganizationalUnit,
    CommonName,
}

impl CertificateField {
    /// As the flag has it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "organization" => Some(Self::Organization),
            "organizationalUnit" => Some(Self::OrganizationalUnit),
            "commonName" => Some(Self::CommonName),
            _ => None,
        }
    }

    /// What it says; who shows none is nobody.
    fn of(self, peer: Option<&Subject>) -> Result<&str, String> {
        let peer = peer.ok_or("could not get required certificate field from client cert")?;
        let (name, value) = match self {
            Self::Organization => ("organization", &peer.organization),
            Self::OrganizationalUnit => ("organizationalUnit", &peer.organizational_unit),
            Self::CommonName => ("commonName", &peer.common_name),
        };
        let value = value.as_deref().filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("could not get {name} field from client cert"))
    }
}

impl Default for Tenancy {
    fn default() -> Self {
        let (header, default) = ("THANOS-TENANT".to_owned(), "default-tenant".to_owned());
        Self { header, default, certificate: None, label: None }
    }
}

impl Tenancy {
    /// The tenant of a request. A name that is part of a path is none.
    pub(crate) fn tenant_of(&self, headers: &HeaderMap, peer: Option<&Subject>) -> Result<String, String> {
        let given = headers.get(&self.header).map(|value| value.to_str().map_err(|why| why.to_string()));
        let tenant = match self.certificate {
            Some(field) => field.of(peer)?,
            None => given.transpose()?.filter(|tenant| !tenant.is_empty()).unwrap_or(&self.default),
        };
        if tenant == "." || tenant == ".." || tenant.contains('/') {
            return Err("Tenant name not valid".to_owned());
        }
        Ok(tenant.to_owned())
    }

    /// What every selector of a request of this tenant must hold.
    pub(crate) fn enforced(&self, tenant: &str) -> Option<Matcher> {
        self.label.as_ref().map(|label| Matcher::equal(label, tenant))
    }
}

/// The selector with that matcher; others on the same label give way, as in Thanos.
pub(crate) fn hold(selector: &mut Vec<Matcher>, enforced: &Matcher) {
    selector.retain(|matcher| matcher.name() != enforced.name());
    selector.push(enforced.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_sees_its_own_whatever_it_asks() {
        let tenancy = Tenancy { label: Some("tenant_id".to_owned()), ..Tenancy::default() };
        let enforced = tenancy.enforced("a").unwrap();
        for text in ["up", "up{tenant_id=\"b\"}", "up{tenant_id=~\".*\"}", "{tenant_id!=\"a\"}"] {
            let mut selector = sarsen_block::parse_selector(text).unwrap();
            hold(&mut selector, &enforced);
            let own: Vec<&Matcher> = selector.iter().filter(|m| m.name() == b"tenant_id").collect();
            assert!(own.len() == 1 && own[0].matches(b"a") && !own[0].matches(b"b"), "{text}");
        }
        assert!(Tenancy::default().enforced("a").is_none());
    }

    #[test]
    fn tenants_of_requests() {
        let tenancy = Tenancy::default();
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("thanos-tenant", value.parse().unwrap());
            tenancy.tenant_of(&headers, None)
        };
        assert_eq!(tenancy.tenant_of(&HeaderMap::new(), None).unwrap(), "default-tenant");
        assert_eq!(with("").unwrap(), "default-tenant");
        assert_eq!(with("a").unwrap(), "a");
        assert!(with("a/b").is_err() && with("..").is_err());
        let tenancy = Tenancy { certificate: CertificateField::named("organization"), ..tenancy };
        let subject = |organization: &str| Subject {
            organization: Some(organization.to_owned()),
            ..Subject::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert("thanos-tenant", "a".parse().unwrap());
        assert_eq!(tenancy.tenant_of(&headers, Some(&subject("ops"))).unwrap(), "ops");
        for stranger in [None, Some(&Subject::default()), Some(&subject("..")), Some(&subject(""))] {
            assert!(tenancy.tenant_of(&headers, stranger).is_err(), "{stranger:?}");
        }
    }
}
