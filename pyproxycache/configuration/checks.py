"""What depends on several values of the configuration, and is refused together."""

from __future__ import annotations

from operator import attrgetter

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.notations.event_notation import event_problems, problem_of_route
from pyproxycache.configuration.notations.introspection_notation import introspection_problems
from pyproxycache.configuration.notations.limit_notation import limit_problems
from pyproxycache.configuration.notations.route_notation import around_problems, caching_problems
from pyproxycache.configuration.sections import KeyPath, Problems
from pyproxycache.mirror_options import MirrorOptions, UseOptions
from pyproxycache.mirrors.cooldown.known import NAMED, TIMED

_WITH_RELEASES = {"min_age": ("ages", TIMED), "block": ("releases", NAMED)}
"""What has to be known of an ecosystem for these keys, and of which it is."""


def check(config: Config) -> None:
    """Check what depends on several values; raises Refused, with all problems."""
    problems = Problems()
    _check_ways(config, problems)
    _check_addresses(config, problems)
    _check_routes(config, problems)
    _check_pools(config, problems)
    _check_tls(config, problems)
    _check_mirrors(config, problems)
    _check_events(config, problems)
    for number, rule in enumerate(config.rules):
        # The cache key is needed before there is a response: such a rule would never apply.
        if rule.query != "keep" and (rule.match.status or rule.match.content_type):
            text = f"{rule.query!r} is accepted only without match.status and match.content_type"
            problems.add(("rules", number, "query"), text)
    problems.raise_any()


def _check_ways(config: Config, problems: Problems) -> None:
    """Check that clients can ask in all the ways that are named."""
    if not config.listen:
        problems.add(("listen",), "[] is not accepted: name an address at least")
    if config.proxy_auth is not None and config.upstream is not None:
        text = "clients of a reverse proxy send no credentials for a proxy: leave this or 'upstream' out"
        problems.add(("proxy_auth",), text)
    if config.transparent.addresses and (config.upstream or config.proxy_auth):
        other = "upstream" if config.upstream else "proxy_auth"
        text = f"clients that do not know of this cache cannot ask it so: leave this or {other!r} out"
        problems.add(("transparent",), text)
    if config.all_routes():
        for key in ("upstream", "proxy_auth", "transparent.addresses", "intercept.hosts", "mirrors"):
            if attrgetter(key)(config):
                text = "a gateway answers requests for its routes alone: leave this or 'routes' out"
                problems.add((key.partition(".")[0],), text)


def _check_routes(config: Config, problems: Problems) -> None:
    passed_on = {
        route.introspect.pass_on.header
        for _host, _path, route in config.all_routes()
        if route.introspect is not None and route.introspect.pass_on is not None
    }
    places: dict[tuple[str, str], str] = {}
    for host, path, route in config.all_routes():
        place = _place_of(host, path)
        same = places.setdefault((host, path.rstrip("/")), path)
        if same != path:
            problems.add(
                place, f"has the same paths as {same!r}, and only one of them would count: leave one out"
            )
        for key_path, text in limit_problems(route.limits):
            problems.add((*place, "limits", *key_path), text)
        for name in route.limits:
            if _never_counts(config, host, path, name):
                text = "counts by tokens, which nothing finds here: 'introspect' of the route is needed"
                problems.add((*place, "limits", name, "by"), text)
        for key_path, text in caching_problems(route):
            problems.add((*place, *key_path), text)
        if route.introspect is not None:
            for key_path, text in introspection_problems(route.introspect):
                problems.add((*place, "introspect", *key_path), text)
        for around_path, text in around_problems(path, route, passed_on):
            problems.add((*place, *around_path), text)


def _never_counts(config: Config, host: str, path: str, name: str) -> bool:
    """Whether the limit of the route is by tokens, and neither the route nor one around it has any."""
    around = [route for at, above, route in config.all_routes() if at == host and path.startswith(above)]
    of_route = next(route for at, own, route in config.all_routes() if (at, own) == (host, path))
    limit = of_route.limits[name]
    return all(by.kind == "token" for by in limit.by) and not any(
        route.introspect is not None and route.limits.get(name) == limit for route in around
    )


def _check_tls(config: Config, problems: Problems) -> None:
    """Check what is said of TLS with origins, and of interception, which relies on that."""
    for number, item in enumerate(config.fetch.tls):
        if not item.hosts:
            problems.add(("fetch", "tls", number, "hosts"), "[] is not accepted: name a host at least")
        if item.ca_file is None and not item.certificates:
            problems.add(("fetch", "tls", number), "says nothing: 'ca_file' or 'certificates' is needed")
    if config.intercept.hosts:
        if config.upstream is not None:
            text = "a reverse proxy opens no tunnels to intercept: leave this or 'upstream' out"
            problems.add(("intercept",), text)
        if not config.fetch.tls_verify:
            text = "clients rely on the cache to verify these hosts: leave 'fetch.tls_verify' on"
            problems.add(("intercept",), text)
    if config.intercept.ca is not None and config.intercept.ca.is_relative_to(config.store.path):
        text = (
            f"{config.intercept.ca} is in the cache, which may be removed at any time: name another folder"
        )
        problems.add(("intercept", "ca"), text)


def _check_mirrors(config: Config, problems: Problems) -> None:
    for name, mirror in config.mirrors.items():
        if config.upstream is not None:
            text = "a reverse proxy's paths are all its upstream's: leave this or 'upstream' out"
            problems.add(("mirrors", name), text)
        if not mirror.upstream:
            problems.add(("mirrors", name, "upstream"), "[] is not accepted: name a URL at least")
        if mirror.sumdb and mirror.ecosystem != "go":
            text = f"is accepted only with 'ecosystem: go', and not with {mirror.ecosystem!r}: leave it out"
            problems.add(("mirrors", name, "sumdb"), text)
        if mirror.registries and mirror.ecosystem != "oci":
            text = f"is accepted only with 'ecosystem: oci', not with {mirror.ecosystem!r}: leave it out"
            problems.add(("mirrors", name, "registries"), text)
        _check_releases(mirror, ("mirrors", name), problems)
    for number, used in enumerate(config.use):
        _check_releases(used, ("use", number), problems)


def _place_of(host: str, path: str) -> KeyPath:
    """Where a route is in the configuration."""
    return (*(("hosts", host) if host else ()), "routes", path)


def _check_releases(options: MirrorOptions | UseOptions, place: KeyPath, problems: Problems) -> None:
    for key, (what, known) in _WITH_RELEASES.items():
        if getattr(options, key) and options.ecosystem not in known:
            text = f"of {options.ecosystem} no {what} are known: accepted for {', '.join(sorted(known))}"
            problems.add((*place, key), text)


def _check_events(config: Config, problems: Problems) -> None:
    if config.events is not None:
        for keys, text in event_problems(config.events):
            problems.add(("events", *keys), text)
    for host, path, route in config.all_routes():
        if route.events is not None:
            problem = problem_of_route(route.events, config.events)
            if problem is not None:
                problems.add((*_place_of(host, path), "events", *problem[0]), problem[1])


def _check_pools(config: Config, problems: Problems) -> None:
    for host, path, route in config.all_routes():
        place = _place_of(host, path)
        if not route.members:
            problems.add((*place, "upstream"), "[] is not accepted: name a URL at least")
            continue
        first, *others = route.members
        for number, one in enumerate(others, 1):
            base, wanted = one.url.target.rstrip("/"), first.url.target.rstrip("/")
            if base != wanted:
                text = (
                    f"{str(one.url)!r}: references and cookies of its answers would name other paths than"
                    f" those of {str(first.url)!r}: the paths of the URLs have to be the same"
                )
                problems.add((*place, "upstream", number), text)
            if one.url.origin in [other.url.origin for other in route.members[:number]]:
                text = f"{str(one.url)!r} is named twice: give it a weight instead"
                problems.add((*place, "upstream", number), text)
        pool = route.pool
        if pool is not None and pool.max_pause < pool.pause:
            text = f"{pool.max_pause:g} is not accepted: it cannot be shorter than 'pause' ({pool.pause:g})"
            problems.add((*place, "pool", "max_pause"), text)
        if pool is not None and pool.host == "keep" and config.parent is not None:
            text = "a parent goes by the URL, and sees no other Host: leave this or 'parent' out"
            problems.add((*place, "pool", "host"), text)


def _check_addresses(config: Config, problems: Problems) -> None:
    lists: list[tuple[KeyPath, tuple[str, ...]]] = [
        (("listen",), config.addresses),
        (("transparent", "http"), config.transparent.http),
        (("transparent", "https"), config.transparent.https),
        (("admin", "listen"), config.admin.listen),
    ]
    places = [((*key, number), one) for key, listed in lists for number, one in enumerate(listed)]
    for place, (path, address) in enumerate(places):
        wider = next((other for _path, other in places[:place] if _overlap(address, other)), None)
        if wider is not None:
            text = f"{address!r} and {wider!r} are the same port of the same addresses: leave one out"
            problems.add(path, text)


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses cannot both be listened on: they are equal, or one includes the other."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if "unix:" in (one[:5], other[:5]) or port != other_port:
        return one == other
    hosts = {host, other_host}
    return len(hosts) == 1 or "[::]" in hosts or ("0.0.0.0" in hosts and not any("[" in h for h in hosts))
