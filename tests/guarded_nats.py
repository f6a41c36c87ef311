"""A NATS server that may let nobody in any more."""

from offhook.cli.embedded.nats_server import NatsServer


class GuardedNats(NatsServer):
    """Asks for a password once `is_guarded` is set and it is started again."""

    is_guarded = False

    def _config(self) -> str:
        guard = "authorization { user: u, password: p }\n" if self.is_guarded else ""
        return super()._config() + "\n" + guard

    def refuse(self) -> None:
        """Start again, and let nobody in who has no password."""
        self.stop()
        self.is_guarded = True
        self.start()
