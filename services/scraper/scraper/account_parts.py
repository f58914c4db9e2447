"""Puts the parts together that keep accounts and proxies. The only place that knows all of them."""

from dataclasses import dataclass

from chassis.stores import Database, redis_client

from scraper.account_pool import AccountPool
from scraper.addresses import AddressGuard
from scraper.manage_accounts import ManageAccounts, Stores, Wake
from scraper.mongo_accounts import Accounts, Breakers, Proxies
from scraper.redis_account_leases import AccountLeases
from scraper.secret_box import SecretBox, make_secret_box
from scraper.settings import ScraperSettings


@dataclass(frozen=True, slots=True)
class AccountParts:
    """`pool` is for runs, `manage` for people."""

    stores: Stores
    pool: AccountPool
    manage: ManageAccounts
    # Everything of the scraper that may not be readable on a disk is sealed with the one key in it.
    box: SecretBox

    async def prepare(self) -> None:
        """Make the indexes. Raises `Unavailable`."""
        await self.stores.accounts.prepare()
        await self.stores.proxies.prepare()

    async def close(self) -> None:
        """Close what was opened here."""
        await self.stores.leases.close()


def make_account_parts(settings: ScraperSettings, database: Database, worker_id: str, wake: Wake) -> AccountParts:
    """The parts. Raises ValueError for a key that is none."""
    key = settings.secrets_key.get_secret_value() if settings.secrets_key else None
    box = make_secret_box(key, settings.secrets_key_file)
    leases = AccountLeases(redis_client(settings), lease_seconds=settings.account_lease_seconds)
    stores = Stores(Accounts(database), Proxies(database), Breakers(database), leases)
    pool = AccountPool(
        accounts=stores.accounts,
        proxies=stores.proxies,
        leases=leases,
        box=box,
        daily_budget=settings.x_daily_budget,
        worker=worker_id,
    )
    guard = AddressGuard(settings.allowed_addresses, settings.allowed_ports)
    manage = ManageAccounts(stores, box, guard, default_budget=settings.x_daily_budget, wake=wake)
    return AccountParts(stores, pool, manage, box)
