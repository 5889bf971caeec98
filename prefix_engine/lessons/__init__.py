"""The facts and verdicts of the chapter's pages, measured with the engine, without a screen."""
