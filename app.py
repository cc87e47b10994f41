"""The app, for `streamlit run app.py`; `knowngood app` runs the same."""

from toolkit.ui.main import main

main()
