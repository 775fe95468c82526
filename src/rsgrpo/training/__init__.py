"""The LightningModule of an RL iteration and what it needs: data module, optimiser, parity check, export."""
