"""What people watch: the page, its events, and the figures behind them."""
