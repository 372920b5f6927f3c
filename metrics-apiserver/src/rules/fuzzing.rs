//! Checks that namespace and selector are bound into a query, whatever the three are.

use std::collections::BTreeMap;
use std::thread;

use super::matcher::{Comparison, Matcher};
use super::native::{NamespaceMode, NativeQuery, SelectorMode};
use super::plan::BackendName;
use super::promql::{Expr, NAMESPACE, QueryTemplate, fill};
use super::rule::Rule;
use crate::metric::{MetricName, Namespace, Resources, Selector};

/// The size of the stack that the server parses with: the deepest tree allowed is walked here, too.
const STACK: usize = 16 * 1024 * 1024;

/// A rule's query, then a line with a value, then one with a selector: rendered with them the query is read again, has
/// the selectors that it had, and each carries what was added.
pub fn injection(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.rsplitn(3, '\n');
    let (Some(selector), Some(value), Some(query)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    thread::scope(|scope| {
        let thread =
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || bind(query, value, selector));
        assert!(thread.is_ok_and(|thread| thread.join().is_ok()), "{text:?}");
    });
}

fn bind(query: &str, value: &str, selector: &str) {
    let Ok(template) = QueryTemplate::parse(query) else { return };
    let matcher = |label: &'static str, operator| Matcher {
        label: label.into(),
        operator,
        value: value.to_owned().into(),
    };
    let namespace = matcher("k8s.namespace.name", Comparison::Equal);
    carries(query, &template, None, &[], value);
    carries(query, &template, Some(&namespace), &[], value);
    let added =
        [matcher("app.kubernetes.io/name", Comparison::Regex), matcher("label", Comparison::NotEqual)];
    carries(query, &template, None, &added, value);
    carries(query, &template, Some(&namespace), &added, value);
    if let (Ok(namespace), Ok(selector)) = (Namespace::parse(value), selector.parse()) {
        for label in ["namespace", "k8s.namespace.name"] {
            binds(query, template.clone(), label, &namespace, &selector);
        }
    }
}

/// The query of a request is bound to its namespace and selector.
fn binds(text: &str, template: QueryTemplate, label: &str, namespace: &Namespace, selector: &Selector) {
    let parameters = template.parameters().clone();
    let (Ok(name), backend) = (MetricName::parse("metric"), BackendName("default".into())) else { return };
    let query = NativeQuery::new(template, NamespaceMode::Label(label.to_owned()), SelectorMode::Inject);
    let Ok(rule) = query.map(|query| Rule::native(name, backend, query)) else { return };
    let Ok(plan) = rule.external_plan(namespace, selector, &Resources::default()) else { return };
    let [bound_query] = &plan.queries[..] else { unreachable!("a native rule has one query: {plan:?}") };
    let binding = Matcher::new(label, Comparison::Equal, namespace.as_str().into());
    let injected =
        selector.requirements().iter().filter(|requirement| !parameters.contains(&requirement.key));
    let injected: Vec<_> =
        injected.filter_map(|requirement| Matcher::for_requirement(requirement).ok()).collect();
    let sent = Expr::parse_printed(&bound_query.promql).map(|query| query.selectors()).unwrap_or_default();
    let written = Expr::parse(text).map(|query| query.selectors()).unwrap_or_default();
    assert_eq!(sent.len(), written.len(), "{text:?}: {bound_query:?}");
    for (sent, written) in sent.into_iter().zip(written) {
        assert!(injected.iter().all(|matcher| sent.contains(matcher)), "{text:?}: {bound_query:?}");
        // By the rule's label, or by an equality that the author wrote.
        let is_bound = written.iter().any(|matcher| {
            let filled = Matcher { value: namespace.as_str().into(), ..matcher.clone() };
            is_binding(matcher) && sent.contains(&filled)
        });
        assert!(is_bound || sent.contains(&binding), "{text:?}: {bound_query:?}");
    }
}

/// Whether an author binds a selector with this matcher. Written again, so as not to trust the code under test.
fn is_binding(matcher: &Matcher<'_>) -> bool {
    matcher.operator == Comparison::Equal
        && !matcher.label.starts_with("__")
        && ["$namespace", "${namespace}"].contains(&&*matcher.value)
}

/// Renders the template of `text` with `added` and with `value` for every parameter, reads that again without a look at
/// how the template did it, and compares selectors and strings with what was written.
pub(super) fn carries(
    text: &str,
    template: &QueryTemplate,
    namespace: Option<&Matcher<'static>>,
    added: &[Matcher<'static>],
    value: &str,
) {
    let names = template.parameters().iter().map(String::as_str).chain([NAMESPACE]);
    let values: BTreeMap<_, _> = names.map(|name| (name, value)).collect();
    let rendered = template.render(namespace, added, &values).unwrap_or_default();
    let (written, read) = (Expr::parse(text), Expr::parse_printed(&rendered));
    let (Ok(written), Ok(read)) = (&written, &read) else {
        assert!(written.is_ok() && read.is_ok(), "{text:?} becomes {rendered:?}: {:?}", read.as_ref().err());
        return;
    };
    let (before, after) = (written.selectors(), read.selectors());
    assert_eq!(before.len(), after.len(), "{text:?}: the same selectors as before");
    for (before, after) in before.into_iter().zip(after) {
        let namespace = namespace.filter(|_| !before.iter().any(is_binding)).cloned();
        let own = before.into_iter().map(|matcher| {
            let by_value = matches!(matcher.operator, Comparison::Equal | Comparison::NotEqual);
            match matcher.value.strip_prefix('$').filter(|name| by_value && values.contains_key(*name)) {
                Some(_) => Matcher { value: value.to_owned().into(), ..matcher },
                None => fill(matcher, |name, _| values.get(name).copied()),
            }
        });
        let mut expected: Vec<_> = own.chain(namespace).chain(added.iter().cloned()).collect();
        expected.sort();
        assert_eq!(after, expected, "{text:?}");
    }
    assert_eq!(read.strings(), written.strings(), "{text:?}");
}
