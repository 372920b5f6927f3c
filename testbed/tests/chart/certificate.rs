//! The certificate that the chart makes without cert-manager: verified by rustls, kept by upgrades, renewed in time.

use crate::{
    case::{NAMESPACE, UNVERIFIED, chart_path},
    cluster::Place,
};
use k8s_openapi::ByteString;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECRET: &str = "metrics-apiserver-serving-cert";
const REGISTRATION: &str = "v1beta1.custom.metrics.k8s.io";

/// The Secret's files and what kube-apiserver trusts.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    certificate: Vec<u8>,
    key: Vec<u8>,
    bundle: Vec<u8>,
}

impl Place {
    async fn get(&self, kind: &str, name: &str) -> Value {
        let args = ["get", kind, name, "--namespace", NAMESPACE, "-o", "json"];
        let text = self.kubectl.run(&args).await.unwrap().success().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    async fn made(&self) -> Made {
        let secret = self.get("secret", SECRET).await;
        assert_eq!(secret["type"], "kubernetes.io/tls");
        let registration = self.get("apiservice", REGISTRATION).await;
        assert_eq!(registration["spec"]["insecureSkipTLSVerify"], Value::Null);
        let bytes = |value: &Value| serde_json::from_value::<ByteString>(value.clone()).unwrap().0;
        assert_eq!(registration["spec"]["caBundle"], secret["data"]["ca.crt"]);
        Made {
            certificate: bytes(&secret["data"]["tls.crt"]),
            key: bytes(&secret["data"]["tls.key"]),
            bundle: bytes(&secret["data"]["ca.crt"]),
        }
    }

    async fn release(&self, command: &str, more: &[&str]) {
        let chart = chart_path();
        // An upgrade without values would have those of the revision before.
        let reset: &[&str] = if command == "upgrade" { &["--reset-values"] } else { &[] };
        let mut args = vec![command, "metrics-apiserver", &chart, "--namespace", NAMESPACE];
        args.extend(reset);
        args.extend(more);
        self.helm(&args).await;
    }
}

impl Made {
    /// Whether this certificate is trusted `after` from now, as kube-apiserver verifies it.
    fn trusts(&self, certificate: &[u8], name: &str, after: Duration) -> bool {
        let mut roots = RootCertStore::empty();
        for ca in CertificateDer::pem_slice_iter(&self.bundle) {
            roots.add(ca.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let leaf = CertificateDer::from_pem_slice(certificate).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + after);
        verifier.verify_server_cert(&leaf, &[], &name, &[], at).is_ok()
    }

    /// Fails unless the server can use the files, and for as long as the values say.
    fn check(&self, days: u32) {
        let leaf = CertificateDer::from_pem_slice(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&self.key).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(vec![leaf], key, &provider).unwrap().keys_match().unwrap();
        let name = "metrics-apiserver.monitoring.svc";
        assert!(self.trusts(&self.certificate, name, Duration::ZERO));
        assert!(self.trusts(&self.certificate, &format!("{name}.cluster.local"), DAY * (days - 1)));
        assert!(!self.trusts(&self.certificate, name, DAY * (days + 1)));
        assert!(!self.trusts(&self.certificate, "other.monitoring.svc", Duration::ZERO));
    }
}

#[tokio::test]
async fn the_certificate_survives_upgrades_and_is_renewed_before_it_expires_while_both_cas_are_trusted() {
    let place = Place::new("chart-certificate").await;
    // As the adapter's chart registers its API.
    place.release("install", &["--set", UNVERIFIED]).await;
    assert_eq!(place.get("apiservice", REGISTRATION).await["spec"]["insecureSkipTLSVerify"], true);
    place.release("upgrade", &[]).await;
    let first = place.made().await;
    first.check(1825);
    place.release("upgrade", &["--set", "replicas=3"]).await;
    assert_eq!(place.made().await, first);

    let renew = ["--set", "tls.generated.validDays=1826,tls.generated.renewBeforeDays=1825"];
    place.release("upgrade", &renew).await;
    let second = place.made().await;
    second.check(1826);
    assert!(second.certificate != first.certificate);
    // The pods serve the first until the kubelet has updated the file.
    let name = "metrics-apiserver.monitoring.svc";
    assert!(second.trusts(&first.certificate, name, Duration::ZERO));
    place.release("upgrade", &[]).await;
    assert_eq!(place.made().await, second);

    let renew = ["--set", "tls.generated.validDays=1827,tls.generated.renewBeforeDays=1826"];
    place.release("upgrade", &renew).await;
    let third = place.made().await;
    third.check(1827);
    assert!(third.trusts(&second.certificate, name, Duration::ZERO));
    assert!(!third.trusts(&first.certificate, name, Duration::ZERO), "only one old CA is kept");
    drop(place.cluster);
}
