//! Flags of prometheus-adapter and of Go's API servers that are accepted and have no effect here.

/// Flags that have no effect for the same reason.
struct Group {
    reason: &'static str,
    /// Flags that take a value only after `=`.
    switches: &'static [&'static str],
    /// Flags that always take a value.
    valued: &'static [&'static str],
}

const GROUPS: [Group; 5] = [
    Group {
        reason: "there is no audit log, the log of kube-apiserver has every request",
        switches: &[
            "audit-log-batch-throttle-enable",
            "audit-log-compress",
            "audit-log-truncate-enabled",
            "audit-webhook-batch-throttle-enable",
            "audit-webhook-truncate-enabled",
        ],
        valued: &[
            "audit-log-batch-buffer-size",
            "audit-log-batch-max-size",
            "audit-log-batch-max-wait",
            "audit-log-batch-throttle-burst",
            "audit-log-batch-throttle-qps",
            "audit-log-format",
            "audit-log-maxage",
            "audit-log-maxbackup",
            "audit-log-maxsize",
            "audit-log-mode",
            "audit-log-path",
            "audit-log-truncate-max-batch-size",
            "audit-log-truncate-max-event-size",
            "audit-log-version",
            "audit-policy-file",
            "audit-webhook-batch-buffer-size",
            "audit-webhook-batch-initial-backoff",
            "audit-webhook-batch-max-size",
            "audit-webhook-batch-max-wait",
            "audit-webhook-batch-throttle-burst",
            "audit-webhook-batch-throttle-qps",
            "audit-webhook-config-file",
            "audit-webhook-initial-backoff",
            "audit-webhook-mode",
            "audit-webhook-truncate-max-batch-size",
            "audit-webhook-truncate-max-event-size",
            "audit-webhook-version",
        ],
    },
    Group {
        reason: "there are no profiles of a Go program",
        switches: &["contention-profiling", "profiling"],
        valued: &["debug-socket-path"],
    },
    Group {
        reason: "--max-requests-inflight is the limit",
        switches: &["enable-priority-and-fairness"],
        valued: &[],
    },
    Group {
        reason: "the server speaks HTTP/1.1 and listens alone on its port",
        switches: &[
            "disable-http2",
            "disable-http2-serving",
            "permit-address-sharing",
            "permit-port-sharing",
        ],
        valued: &["http2-max-streams-per-connection"],
    },
    Group {
        reason: "the log goes to standard error, as --v and --logging-format say",
        switches: &[
            "add-dir-header",
            "alsologtostderr",
            "logtostderr",
            "one-output",
            "skip-headers",
            "skip-log-headers",
        ],
        valued: &[
            "log-backtrace-at",
            "log-dir",
            "log-file",
            "log-file-max-size",
            "log-flush-frequency",
            "stderrthreshold",
            "vmodule",
        ],
    },
];

/// An ignored flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ignored {
    /// Its name, without dashes in front.
    pub(super) name: &'static str,
    /// Whether the next argument is its value if it has no `=`.
    pub(super) takes_value: bool,
    /// Why it has no effect.
    pub(super) reason: &'static str,
}

/// The ignored flag with this name.
pub(super) fn find(name: &str) -> Option<Ignored> {
    all().find(|flag| flag.name == name)
}

/// Every ignored flag.
pub(super) fn all() -> impl Iterator<Item = Ignored> {
    GROUPS.iter().flat_map(|Group { reason, switches, valued }| {
        let flags = switches.iter().map(|name| (name, false)).chain(valued.iter().map(|name| (name, true)));
        flags.map(|(&name, takes_value)| Ignored { name, takes_value, reason })
    })
}

/// One line about all these flags, each named once; none without flags.
pub(super) fn warning(flags: &[Ignored]) -> Option<String> {
    let given = |group: &Group| {
        let names: Vec<_> = all()
            .filter(|flag| flag.reason == group.reason && flags.contains(flag))
            .map(|flag| format!("--{}", flag.name))
            .collect();
        (!names.is_empty()).then(|| format!("{} ({})", names.join(", "), group.reason))
    };
    let groups: Vec<_> = GROUPS.iter().filter_map(given).collect();
    (!groups.is_empty()).then(|| format!("flags without effect: {}", groups.join("; ")))
}
