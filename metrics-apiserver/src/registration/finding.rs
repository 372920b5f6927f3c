//! What one `APIService` says.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};

use super::ServiceName;
use crate::causes::causes;
use crate::x509::ServerVerifier;

/// What one `APIService` says about this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It leads to this server.
    Ours,
    /// It leads elsewhere.
    Foreign {
        /// The Service, or what else it is.
        owner: String,
    },
    /// It leads to this server, but its CA bundle is not that of the serving certificate.
    ForeignCa,
    /// There is no such object.
    Missing,
    /// It cannot be read. The cause, with what to do.
    Unreadable(String),
}

impl Finding {
    /// What this object says, if this server is behind `service` and presents `chain` there. Nothing is compared with
    /// an empty chain.
    pub fn of(object: Option<&APIService>, service: &ServiceName, chain: &[CertificateDer<'_>]) -> Self {
        let Some(object) = object else { return Self::Missing };
        let spec = object.spec.as_ref();
        let Some(target) = spec.and_then(|spec| spec.service.as_ref()) else {
            return Self::Foreign { owner: "kube-apiserver itself".to_owned() };
        };
        let [namespace, name] =
            [&target.namespace, &target.name].map(|text| text.as_deref().unwrap_or_default());
        if !service.is(namespace, name) {
            return Self::Foreign { owner: format!("{namespace}/{name}") };
        }
        let bundle = spec.and_then(|spec| spec.ca_bundle.as_ref()).map(|bundle| bundle.0.as_slice());
        match bundle.filter(|bundle| !bundle.is_empty()) {
            Some(bundle) if !may_verify(bundle, chain, &service.host()) => Self::ForeignCa,
            _ => Self::Ours,
        }
    }

    /// The certificates of the CA bundle of this object.
    pub fn ca_bundle(object: &APIService) -> Vec<CertificateDer<'static>> {
        let bundle = object.spec.as_ref().and_then(|spec| spec.ca_bundle.as_ref());
        let bundle = bundle.map_or(&[][..], |bundle| bundle.0.as_slice());
        CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok).collect()
    }

    /// What an error of the Kubernetes API says.
    pub fn unreadable(error: &kube::Error) -> Self {
        Self::Unreadable(match error {
            kube::Error::Api(status) if status.code == 403 => {
                "the ServiceAccount may not `get` it; grant that as ClusterRole metrics-apiserver-registration does, \
                 or leave out --service"
                    .to_owned()
            }
            error => causes(error).to_string(),
        })
    }

    /// What is wrong with the object of this name, and what to do; `None` if nothing is.
    pub fn problem(&self, name: &str, service: &ServiceName) -> Option<String> {
        Some(match self {
            Self::Ours => return None,
            Self::Foreign { owner } => format!(
                "APIService {name} leads to {owner}, not to {service}: another provider has taken the API over, and \
                 HPAs get its answers; uninstall it, or disable its APIService, and apply the manifests again"
            ),
            Self::ForeignCa => format!(
                "APIService {name} has a caBundle that does not verify the serving certificate, so kube-apiserver \
                 cannot connect: another controller may have replaced it (kubectl get apiservice {name} -o yaml \
                 --show-managed-fields shows which); stop it, and apply the manifests again"
            ),
            Self::Missing => format!(
                "APIService {name} does not exist, so kube-apiserver sends no reads: uninstalling another provider may \
                 have deleted it; apply the manifests again"
            ),
            Self::Unreadable(cause) => {
                format!("cannot tell whether APIService {name} leads to this server: {cause}")
            }
        })
    }
}

/// Whether a client with this CA bundle may accept the chain. Only what proves another CA counts: expired certificates
/// and wrong names have other causes, and Go knows algorithms that are unknown here.
fn may_verify(bundle: &[u8], chain: &[CertificateDer<'_>], host: &str) -> bool {
    let Some((leaf, intermediates)) = chain.split_first() else { return true };
    let bundle: Vec<_> = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok).collect();
    if bundle.is_empty() {
        return false;
    }
    let (Ok(verifier), Ok(host)) = (ServerVerifier::new(bundle), ServerName::try_from(host)) else {
        return true;
    };
    let verified = verifier.verify_server_cert(leaf, intermediates, &host, &[], UnixTime::now());
    !matches!(
        verified,
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature))
    )
}
