//! Functions and forms of PromQL's relatives: Prometheus 2, Thanos, and `MetricsQL` of `VictoriaMetrics`.
//!
//! The functions are those that read no series but those of their arguments, so that a query that calls one can be
//! bound to a namespace. A function that is not known here could read others by itself, as `info` does.

use std::borrow::Cow;

use super::lex::{Kind, tokens};

/// Functions of Prometheus 2 that Prometheus 3 has under another name.
const PROMETHEUS_2: [&str; 1] = ["holt_winters"];

/// Thanos' extended functions.
const THANOS: [&str; 3] = ["xdelta", "xincrease", "xrate"];

/// Functions of `MetricsQL` for which PromQL has a form, with that form.
const IN_PROMQL: [(&str, &str); 28] = [
    ("alias", "label_replace(a, \"__name__\", \"name\", \"\", \"\")"),
    ("any", "limitk(1, a)"),
    ("changes_prometheus", "changes(a[5m])"),
    ("count_eq_over_time", "count_over_time((a == 1)[5m:])"),
    ("count_gt_over_time", "count_over_time((a > 1)[5m:])"),
    ("count_le_over_time", "count_over_time((a <= 1)[5m:])"),
    ("count_ne_over_time", "count_over_time((a != 1)[5m:])"),
    ("default_rollup", "last_over_time(a[5m])"),
    ("delta_prometheus", "delta(a[5m])"),
    ("deriv_fast", "deriv(a[5m])"),
    ("distinct", "count(count_values(\"value\", a))"),
    ("histogram_share", "histogram_fraction(0, 1, a)"),
    ("increase_prometheus", "increase(a[5m])"),
    ("increase_pure", "increase(a[5m])"),
    ("keep_last_value", "last_over_time(a[5m])"),
    ("label_copy", "label_replace(a, \"to\", \"$1\", \"from\", \"(.*)\")"),
    ("label_set", "label_replace(a, \"label\", \"value\", \"\", \"\")"),
    ("lag", "time() - timestamp(a)"),
    ("median", "quantile(0.5, a)"),
    ("median_over_time", "quantile_over_time(0.5, a[5m])"),
    ("now", "time()"),
    ("range_over_time", "max_over_time(a[5m]) - min_over_time(a[5m])"),
    ("share_eq_over_time", "avg_over_time((a == bool 1)[5m:])"),
    ("share_gt_over_time", "avg_over_time((a > bool 1)[5m:])"),
    ("share_le_over_time", "avg_over_time((a <= bool 1)[5m:])"),
    ("sum2_over_time", "sum_over_time((a ^ 2)[5m:])"),
    ("tlast_over_time", "timestamp(a)"),
    ("union", "a or b"),
];

/// The other functions of `MetricsQL`.
const METRICSQL: &[&str] = &[
    "aggr_over_time",
    "ascent_over_time",
    "bitmap_and",
    "bitmap_or",
    "bitmap_xor",
    "bottomk_avg",
    "bottomk_last",
    "bottomk_max",
    "bottomk_median",
    "bottomk_min",
    "buckets_limit",
    "decreases_over_time",
    "descent_over_time",
    "distinct_over_time",
    "drop_common_labels",
    "drop_empty_series",
    "duration_over_time",
    "geomean",
    "geomean_over_time",
    "histogram",
    "histogram_over_time",
    "hoeffding_bound_lower",
    "hoeffding_bound_upper",
    "ideriv",
    "increases_over_time",
    "integrate",
    "interpolate",
    "keep_next_value",
    "label_del",
    "label_graphite_group",
    "label_keep",
    "label_lowercase",
    "label_map",
    "label_match",
    "label_mismatch",
    "label_move",
    "label_transform",
    "label_uppercase",
    "label_value",
    "label_values",
    "labels_equal",
    "lifetime",
    "limit_offset",
    "mad",
    "mode",
    "mode_over_time",
    "outlier_iqr_over_time",
    "outliers_iqr",
    "outliers_mad",
    "outliersk",
    "prometheus_buckets",
    "quantiles",
    "quantiles_over_time",
    "rand",
    "rand_exponential",
    "rand_normal",
    "range_avg",
    "range_first",
    "range_last",
    "range_linear_regression",
    "range_mad",
    "range_max",
    "range_median",
    "range_min",
    "range_normalize",
    "range_quantile",
    "range_stddev",
    "range_stdvar",
    "range_sum",
    "range_trim_outliers",
    "range_trim_spikes",
    "range_trim_zscore",
    "range_zscore",
    "rate_over_sum",
    "remove_resets",
    "rollup",
    "rollup_candlestick",
    "rollup_delta",
    "rollup_deriv",
    "rollup_increase",
    "rollup_rate",
    "rollup_scrape_interval",
    "ru",
    "running_avg",
    "running_max",
    "running_min",
    "running_sum",
    "scrape_interval",
    "share",
    "smooth_exponential",
    "sort_by_label_numeric",
    "sort_by_label_numeric_desc",
    "stale_samples_over_time",
    "sum2",
    "sum_gt_over_time",
    "sum_lt_over_time",
    "tfirst_over_time",
    "timestamp_with_name",
    "timezone_offset",
    "tlast_change_over_time",
    "tmax_over_time",
    "tmin_over_time",
    "topk_avg",
    "topk_last",
    "topk_max",
    "topk_median",
    "topk_min",
    "ttf",
    "utilization",
    "zscore",
    "zscore_over_time",
];

/// Keywords of `MetricsQL`, and what to write in PromQL.
const KEYWORDS: [(&str, &str); 6] = [
    ("default", "`a default b` is MetricsQL; in PromQL, write `a or b`, with `vector(0)` for 0"),
    ("if", "`a if b` is MetricsQL; in PromQL, write `a and b`"),
    ("ifnot", "`a ifnot b` is MetricsQL; in PromQL, write `a unless b`"),
    ("keep_metric_names", "`keep_metric_names` is MetricsQL; in PromQL, leave it out"),
    ("limit", "`limit` is MetricsQL; in PromQL, write `limitk(5, a)`"),
    ("with", "`with (…)` is MetricsQL; in PromQL, write its expressions out, or make them recording rules"),
];

/// What to know about a function that Prometheus 3 does not have; none if it is not known here.
pub(super) fn note(function: &str) -> Option<Cow<'static, str>> {
    if let Some((_, form)) = IN_PROMQL.iter().find(|(name, _)| *name == function) {
        return Some(
            format!("`{function}` is MetricsQL, for VictoriaMetrics only; in PromQL: `{form}`").into(),
        );
    }
    if METRICSQL.contains(&function) {
        return Some(format!("`{function}` is MetricsQL, for VictoriaMetrics only").into());
    }
    if THANOS.contains(&function) {
        return Some(format!("`{function}` is one of Thanos' extended functions").into());
    }
    PROMETHEUS_2.contains(&function).then(|| {
        format!("`{function}` is of Prometheus 2; in Prometheus 3 it is `double_exponential_smoothing`")
            .into()
    })
}

/// The advice for a text that the parser refused for this reason, if it is of a dialect.
pub(super) fn advice(text: &str, reason: &str) -> Option<Cow<'static, str>> {
    if let Some(rest) = reason.strip_prefix("expected type matrix in call to function '") {
        let function = rest.split('\'').next().unwrap_or_default();
        return reason.ends_with("got vector").then(|| {
            format!("only MetricsQL lets you omit the range; in PromQL, write `{function}(a[5m])`").into()
        });
    }
    if reason.starts_with("unknown function") {
        return Some(UNKNOWN.into());
    }
    let is_dot = reason.starts_with("unexpected character after '.'") || reason.ends_with(": '.'");
    if is_dot || reason.starts_with("unexpected character") && !reason.is_ascii() {
        return Some(NAME.into());
    }
    let all: Vec<_> = tokens(text).filter(|token| token.kind != Kind::Blank).collect();
    let (mut in_brackets, mut behind_operand) = (false, false);
    for (index, token) in all.iter().enumerate() {
        let word = text.get(token.range.clone()).unwrap_or_default();
        match token.kind {
            Kind::Other('[') => in_brackets = true,
            Kind::Other(']') => in_brackets = false,
            Kind::Word if in_brackets && is_steps(word) => {
                return Some(
                    "a duration in steps is MetricsQL; in PromQL, write a time, such as `5m`".into(),
                );
            }
            // `with` begins an expression, the others stand behind one.
            Kind::Word if behind_operand != word.eq_ignore_ascii_case("with") => {
                let keyword = KEYWORDS.iter().find(|(keyword, _)| word.eq_ignore_ascii_case(keyword));
                if let Some((_, advice)) = keyword {
                    return Some((*advice).into());
                }
            }
            _ => {}
        }
        behind_operand = matches!(token.kind, Kind::Word | Kind::Other(')' | ']' | '}'));
        if token.kind == Kind::Word
            && all.get(index + 1).is_some_and(|next| next.kind == Kind::Other('('))
            && let Some(note) = note(word)
        {
            return Some(note);
        }
    }
    None
}

const UNKNOWN: &str = "the server knows the functions of Prometheus, Thanos and MetricsQL; any other could read series \
                       of other namespaces by itself";

const NAME: &str = "a name with other characters than letters, digits, `_` and `:` is written in quotes: \
                    `{\"http.requests\",\"service.name\"=\"web\"}`, `by (\"service.name\")`";

/// `5i`: five steps.
fn is_steps(word: &str) -> bool {
    word.strip_suffix('i').is_some_and(|number| !number.is_empty() && number.parse::<f64>().is_ok())
}
