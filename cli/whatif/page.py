"""The report as one page that needs nothing else: no script, no font, no address to fetch."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from offhook.cli.counted import counted
from offhook.cli.whatif.replay import Found
from offhook.cli.whatif.report import STOPPED, Report, counts_of, title_of, verdict_of
from offhook.cli.whatif.tally import Group, Key, Tally
from offhook.flow.whatif import KINDS
from offhook.position import position_text
from offhook.wording.durations import duration

_KINDS = {
    "error": "the flow raises",
    "recovered": "the recorded flow raised, this one does not",
    "missing": "orders are missing",
    "extra": "orders were added",
    "replaced": "other orders in place of recorded ones",
    "parameters": "the same orders with other parameters",
    "reordered": "the same orders in another order",
}


def page_of(report: Report) -> str:
    """The HTML document."""
    return "".join(_page(report))


def _page(report: Report) -> Iterator[str]:
    tally = report.tally
    title = f"What if: {report.name} {report.version}"
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    yield f"<header><p class=over>offhook whatif {escape(report.flow)}</p>"
    yield f"<h1>{escape(title)}</h1>"
    state = "clean" if tally.is_clean else "differs"
    yield f'<p class="verdict {state}">{escape(_sentence(verdict_of(report)))}</p></header>\n'
    if tally.compared:
        yield from _bar(tally)
    yield "<dl>"
    for name, count in counts_of(report):
        yield f"<div><dt>{escape(name.strip())}</dt><dd>{count:,}</dd></div>"
    yield "</dl>\n"
    if tally.groups:
        yield f"<h2>First differences</h2><p class=note>{escape(STOPPED)}</p>\n"
        largest = max(group.count for group in tally.groups.values())
        for key, group in tally.in_order():
            yield from _group(key, group, largest, tally.compared)
        if others := tally.ungrouped.total():
            yield f"<p class=note>{counted(others, 'session')} in further groups.</p>"
    if tally.unreadable:
        yield "<h2>Sessions that cannot be read</h2>\n<ul class=plain>"
        for why, (count, example) in tally.unreadable.items():
            yield f"<li><b>{count:,}</b> {escape(why)} <code>{escape(example)}</code></li>"
        yield "</ul>\n"
    yield from _foot(report)
    yield "</main>\n</body>\n</html>\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _bar(tally: Tally) -> Iterator[str]:
    """How many of the compared sessions are the same, and of each kind of difference."""
    kinds = tally.by_kind()
    shares = [("same", tally.sessions["same"]), *((kind, kinds[kind]) for kind in KINDS)]
    yield '<div class=bar role="img" aria-label="sessions by kind of difference">'
    for name, count in shares:
        if count:
            yield f'<span class="of {name}" style="flex-grow:{count}"></span>'
    yield "</div>\n<ul class=legend>"
    for name, count in shares:
        if count:
            title = _KINDS.get(name, "")
            yield (
                f'<li title="{escape(title)}"><i class="of {name}"></i>{name} <b>{count:,}</b>'
                f" <small>{count / tally.compared:.1%}</small></li>"
            )
    yield "</ul>\n"


def _group(key: Key, group: Group, largest: int, compared: int) -> Iterator[str]:
    kind = key[0]
    yield (
        f"<details><summary><span class=count><b>{group.count:,}</b>"
        f'<i class="of {kind}" style="width:{max(2, 100 * group.count // largest)}%"></i></span>'
        f"<span class=what>{_code(title_of(key))}"
        f"<small>{kind} · {group.count / compared:.1%} of the compared sessions{_versions(group)}"
        "</small></span></summary>\n"
    )
    for found in group.examples:
        yield from _example(found)
    yield "</details>\n"


def _versions(group: Group) -> str:
    known = [(version, count) for version, count in group.versions.most_common(4) if version]
    if not known:
        return ""
    shown = ", ".join(f"{escape(version)} ({count:,})" for version, count in known)
    return f" · recorded version {shown}"


def _example(found: Found) -> Iterator[str]:
    yield f"<article><p><code>offhook show {escape(found.session_id)}</code>"
    if found.position:
        at = f"{found.stored_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"<small>record {position_text(found.position)} of {at}</small>"
    yield "</p>"
    if found.traceback:
        yield f"<pre>{escape(found.traceback)}</pre>"
    differs = found.difference
    if differs.kind == "error":
        yield _orders("recorded", differs.recorded, differs.recorded)
    else:
        yield "<div class=two>"
        by_place = differs.kind == "reordered"
        yield _orders("recorded", differs.recorded, differs.now, by_place=by_place)
        yield _orders("now", differs.now, differs.recorded, by_place=by_place)
        yield "</div>"
    yield "</article>\n"


def _orders(
    title: str, orders: Sequence[str], others: Sequence[str], *, by_place: bool = False
) -> str:
    """Those are marked that the others lack, or have not in the same place."""
    lines = "".join(
        f"<li{'' if order in (others[at : at + 1] if by_place else others) else ' class=new'}>"
        f"<code>{escape(order)}</code></li>"
        for at, order in enumerate(orders)
    )
    return f"<section><h3>{title}</h3><ul>{lines or '<li class=none>nothing</li>'}</ul></section>"


def _foot(report: Report) -> Iterator[str]:
    tally = report.tally
    names = report.compared_with
    compared_with = "all flows" if names is None else ", ".join(names)
    said = [
        f"Compared with the decisions of {compared_with}"
        f" ({', '.join(f'{name}: {n:,}' for name, n in tally.versions.most_common(8))})"
        if tally.versions
        else f"Compared with the decisions of {compared_with}",
        f"history: {report.history}",
    ]
    if report.since is not None:
        said.append(f"since {report.since:%Y-%m-%d %H:%M} UTC")
    if report.until is not None:
        said.append(f"before {report.until:%Y-%m-%d %H:%M} UTC")
    said.append(f"{report.finished_at:%Y-%m-%d %H:%M} UTC")
    said.append(f"{duration(report.took_s)}, {report.rate_s:,.0f} sessions/s")
    yield f"<footer>{' · '.join(map(escape, said))}</footer>\n"


def _code(text: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


_STYLE = """
:root{color-scheme:light dark;--ground:#fcfcfb;--panel:#fff;--line:#e3e2de;--ink:#1c1b19;
--soft:#6a6862;--good:#0b7a4b;--bad:#a4440c;--same:#c9d8cf;--error:#c0392b;--recovered:#2b8a6e;
--missing:#d9772b;--extra:#4f74c9;--replaced:#8e5bb5;--parameters:#c9a227;--reordered:#7d8a91;
--new:#fdf1d8}
@media (prefers-color-scheme:dark){:root{--ground:#151618;--panel:#1d1f22;--line:#33363b;
--ink:#e9e8e4;--soft:#a09d96;--good:#5cc795;--bad:#f0965c;--same:#3b4f45;--error:#e0695d;
--recovered:#4fb896;--missing:#e8955a;--extra:#7f9fe6;--replaced:#b48ad6;--parameters:#d9b94f;
--reordered:#95a2a9;--new:#3a3320}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{margin:.1rem 0 .4rem;font-size:1.7rem;line-height:1.2}
h2{margin:2.2rem 0 .3rem;font-size:1.1rem}
h3{margin:0 0 .2rem;font-size:.75rem;font-weight:600;color:var(--soft)}
code,pre,.over{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.86em}
.over,.note,small,footer,dt{color:var(--soft)}
.over,.note{margin:0}
.verdict{margin:0;font-size:1.15rem;font-weight:600}
.clean{color:var(--good)}
.differs{color:var(--bad)}
.bar{display:flex;gap:2px;height:.9rem;margin:1.4rem 0 .6rem;border-radius:.3rem;overflow:hidden}
.bar span{min-width:3px}
.of{background:var(--same)}
.error{background:var(--error)}.recovered{background:var(--recovered)}
.missing{background:var(--missing)}.extra{background:var(--extra)}
.replaced{background:var(--replaced)}.parameters{background:var(--parameters)}
.reordered{background:var(--reordered)}
ul{margin:0;padding:0;list-style:none}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem}
.legend i{display:inline-block;width:.7rem;height:.7rem;margin-right:.4rem;border-radius:.15rem}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.8rem;margin:1.6rem 0}
dl div{padding:.6rem .8rem;background:var(--panel);border:1px solid var(--line);
border-radius:.4rem}
dt{font-size:.8rem;line-height:1.3}
dd{margin:0;font-size:1.35rem;font-variant-numeric:tabular-nums}
details{margin:.5rem 0;background:var(--panel);border:1px solid var(--line);border-radius:.4rem}
summary{display:flex;gap:1rem;padding:.6rem .9rem;cursor:pointer;list-style:none}
summary::-webkit-details-marker{display:none}
summary::after{content:"\\203a";align-self:center;color:var(--soft)}
details[open] summary::after{rotate:90deg}
summary:hover{background:color-mix(in srgb,var(--line) 35%,transparent)}
.count{flex:0 0 5.5rem;text-align:right;font-variant-numeric:tabular-nums}
.count i{display:block;height:.25rem;margin:.25rem 0 0 auto;border-radius:.1rem}
.what{flex:1;min-width:0;overflow-wrap:anywhere}
.what small{display:block}
.what code{padding:.05em .3em;border-radius:.2rem;background:color-mix(in srgb,var(--line) 55%,
transparent)}
article{padding:.7rem .9rem;border-top:1px solid var(--line)}
article p{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:0 0 .4rem;overflow-wrap:anywhere}
.two{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
@media (max-width:40rem){.two{grid-template-columns:1fr}.count{flex-basis:3.5rem}}
article li{padding:.1rem .4rem;border-radius:.2rem;overflow-wrap:anywhere}
article .new{background:var(--new)}
.none{color:var(--soft)}
pre{margin:0 0 .5rem;padding:.6rem;overflow-x:auto;background:var(--ground);
border:1px solid var(--line);border-radius:.3rem}
.plain li{margin:.3rem 0}
footer{margin-top:2.5rem;padding-top:.8rem;border-top:1px solid var(--line);font-size:.82rem}
"""
