"""The app: pages that pick, get and draw. Streamlit lives here and nowhere else."""
