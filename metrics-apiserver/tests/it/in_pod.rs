//! The real executable with what kubelet gives a pod: the files of its ServiceAccount, and where kube-apiserver is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::http::{Play, Server};
use crate::stage::{PATIENCE, Process, TOKEN, query, review, write_files};

const READ: &str = "apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue_depth";

/// TLS with the certificate of this folder.
fn tls(directory: &Path) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(directory.join("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("tls.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
}

#[tokio::test]
async fn a_pod_of_a_cluster_with_ipv6_only_serves_and_has_its_reviews_made() {
    let Some(prometheus) = Server::ipv6(Play::Hang, None) else {
        return println!("skipped: this machine has no IPv6");
    };
    prometheus.script(|request| query(request, false));
    let directory = tempfile::tempdir().unwrap();
    let certificate = write_files(directory.path(), &prometheus.url, "http://127.0.0.1:1");
    let kubernetes = Server::ipv6(Play::Hang, Some(tls(directory.path()))).unwrap();
    kubernetes.script(review);
    let account = directory.path().join("serviceaccount");
    fs::create_dir(&account).unwrap();
    fs::copy(directory.path().join("tls.crt"), account.join("ca.crt")).unwrap();
    fs::write(account.join("token"), "pod-token\n").unwrap();
    fs::write(account.join("namespace"), "monitoring").unwrap();
    let address = kubernetes.url.trim_start_matches("https://").parse().unwrap();
    let Some(process) = Process::start_in_pod(directory.path(), address, &["--bind-address=::1"]) else {
        return println!("skipped: mount namespaces are not allowed here");
    };
    let address = process.address();
    assert!(address.starts_with("[::1]:"), "{address}");
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
    let read = http.get(format!("https://{address}/{READ}")).bearer_auth(TOKEN).timeout(PATIENCE);
    let read = read.send().await.unwrap();
    assert_eq!(read.status().as_u16(), 200);
    assert!(read.text().await.unwrap().contains("\"value\":\"2500m\""));
    let reviews = kubernetes.requests();
    assert!(reviews.iter().any(|request| request.line.contains("subjectaccessreviews")));
    assert!(reviews.iter().all(|request| request.header("authorization") == Some("Bearer pod-token")));
    process.end();
}
