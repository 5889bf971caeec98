"""What the pages share: the strip, charts, wording and session state."""
